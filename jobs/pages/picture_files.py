"""Thumbnails of picked rows: reads their images again through the inventory of the run. Runs on the driver.

Nothing here raises for an image: one that cannot be had has a note instead.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from actors.columns import ERROR_FIELDS
from actors.errors import CredentialsError, ImageError
from actors.messages import one_line
from actors.pictures.thumbnails import thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.decoding.config import Decode
    from actors.reading.image_bytes import Image
    from actors.row_ranges import Identity
    from jobs.pages.picked_rows import Rows
    from jobs.runs.source_images import SourceImages


class Thumbnail(NamedTuple):
    """A WebP file, empty where there is none, and the reason."""

    webp: bytes
    note: str = ""


def make_thumbnails(source: SourceImages, rows: Rows, *, end: float | None) -> dict[Identity, Thumbnail]:
    """Makes a thumbnail of each row, of the first ones first, until they have `MAX_BYTES` together.

    Args:
        source: where the images are.
        rows: published rows, whose boxes and masks are drawn, or error rows.
        end: time of `time.monotonic` at which this returns, even if a server hangs; None waits for all.
    """
    made = {identity: _DEADLY for identity, row in rows.items() if _is_deadly(row)}
    # A daemon: a request that hangs holds up neither the page nor the end of the process.
    thread = threading.Thread(target=_make, args=(source, rows, made, end), daemon=True)
    thread.start()
    thread.join(None if end is None else max(0.0, end - time.monotonic()))
    done = dict(made)
    return {identity: done.get(identity, TOO_LATE) for identity in rows}


MAX_BYTES = 3_000_000
"""Limit for all thumbnails of a page."""

_STEP = 32  # images that are held in memory, unless they are large
_DECODERS = 2  # threads; images without a smaller size inside take up to 1.2 GB each
_HEX_BYTES = 64  # of a file that is no image
TOO_LATE = Thumbnail(b"", "not read: the time limit for pictures was reached")
_TOO_LARGE = Thumbnail(b"", "omitted: the page would become too large")
_DEADLY = Thumbnail(b"", "not read again: it killed the process that read it")
_ERROR_NAMES = {field.name for field in ERROR_FIELDS}
_DEADLY_KINDS = {"killed_worker", "stalled", "device_lost", "out_of_memory"}


def _make(source: SourceImages, rows: Rows, made: dict[Identity, Thumbnail], end: float | None) -> None:
    waiting = [identity for identity in rows if identity not in made]
    while waiting and (end is None or time.monotonic() < end):
        step, waiting = waiting[:_STEP], waiting[_STEP:]
        try:
            for some in _step(source, step, rows):
                made.update(some)
        except CredentialsError as error:  # every other image would be refused, too
            made.update(dict.fromkeys([*step, *waiting], Thumbnail(b"", one_line(error))))
            return
        except Exception as error:  # noqa: BLE001  such as a damaged inventory
            made.update({one: Thumbnail(b"", one_line(error)) for one in step if one not in made})
        if sum(len(one.webp) for one in list(made.values())) > MAX_BYTES:
            made.update(dict.fromkeys(waiting, _TOO_LARGE))
            return


def _is_deadly(row: Mapping[str, Any]) -> bool:
    """Returns True for an error row whose image could end this process, too."""
    return set(row) == _ERROR_NAMES and row["stage"] != "predict" and row["error"] in _DEADLY_KINDS


def _step(source: SourceImages, step: Sequence[Identity], rows: Rows) -> Iterator[dict[Identity, Thumbnail]]:
    """Thumbnails of rows in the order of the inventory."""
    with ThreadPoolExecutor(_DECODERS) as decoders, closing(source.read(step, _STEP)) as batches:
        for images in batches:
            own = [rows[identity] for identity in images]
            made = decoders.map(lambda image, row: _thumbnail(image, row, source.limits), images.values(), own)
            yield dict(zip(images, made, strict=True))


def _thumbnail(image: Image, row: Mapping[str, Any], limits: Decode) -> Thumbnail:
    if isinstance(image, ImageError):
        return Thumbnail(b"", image.message)
    try:
        return Thumbnail(thumbnail(image, limits, row))
    except ImageError as error:
        return Thumbnail(b"", hex_dump(image) if set(row) == _ERROR_NAMES else error.message)
    except Exception as error:  # noqa: BLE001  a row may come from any file
        return Thumbnail(b"", f"cannot be drawn: {one_line(error)}")


def hex_dump(data: bytes) -> str:
    """The first bytes of a file, as numbers and as text."""
    start = data[:_HEX_BYTES]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in start)  # noqa: PLR2004  printable ASCII
    return f"{len(data):,} bytes: {start.hex(' ')} {text}"
