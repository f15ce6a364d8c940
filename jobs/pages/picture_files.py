"""Thumbnails of picked rows: reads their images again through the inventory of the run. Runs on the driver.

Nothing here raises for an image: one that cannot be had has a note instead.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from actors.columns import ERROR_FIELDS, ROW, SHARD, URI, VERSION
from actors.errors import CredentialsError, ImageError
from actors.messages import one_line, read_error
from actors.pictures.thumbnails import thumbnail
from actors.reading.container_versions import changed
from actors.reading.fetcher import Fetcher
from actors.reading.shards import Layout
from actors.row_ranges import Piece, row_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.decoding.config import Decode
    from actors.reading.image_bytes import Image
    from actors.reading.shards import Shards
    from actors.storage.store import Storage
    from jobs.pages.picked_rows import Identity, Rows


class Thumbnail(NamedTuple):
    """A WebP file, empty where there is none, and the reason."""

    webp: bytes
    note: str = ""


@dataclass(frozen=True)
class ImageSource:
    """Places of images, and how they may be decoded."""

    shards: Shards
    storage: Storage
    """Storage of the images, not of the inventory."""
    limits: Decode


def make_thumbnails(source: ImageSource, rows: Rows, *, end: float | None) -> dict[Identity, Thumbnail]:
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
_STEP_BYTES = 64 << 20
_DECODERS = 2  # threads; images without a smaller size inside take up to 1.2 GB each
_THREADS = 16  # requests to storage at once
_HEX_BYTES = 64  # of a file that is no image
TOO_LATE = Thumbnail(b"", "not read: the time for pictures was up")
_TOO_LARGE = Thumbnail(b"", "left out: the page would become too large")
_DEADLY = Thumbnail(b"", "not read again: it ended the process that read it")
_ERROR_NAMES = {field.name for field in ERROR_FIELDS}
_DEADLY_KINDS = {"killed_worker", "stalled", "device_lost", "out_of_memory"}


def _make(source: ImageSource, rows: Rows, made: dict[Identity, Thumbnail], end: float | None) -> None:
    waiting = [identity for identity in rows if identity not in made]
    while waiting and (end is None or time.monotonic() < end):
        step, waiting = sorted(waiting[:_STEP]), waiting[_STEP:]
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


def _step(source: ImageSource, step: Sequence[Identity], rows: Rows) -> Iterator[dict[Identity, Thumbnail]]:
    """Thumbnails of rows in the order of the inventory."""
    ranges = row_ranges(pa.table({SHARD: [shard for shard, _ in step], ROW: [row for _, row in step]}))
    pieces = [Piece(shard, tuple(found)) for shard, found in ranges.items()]
    listed = pa.concat_tables([source.shards.load_piece(piece) for piece in pieces])
    fetcher = Fetcher(
        source.shards,
        source.storage,
        max_bytes=source.limits.max_bytes,
        concurrency=_THREADS,
        batch_bytes=_STEP_BYTES,
    )
    with ThreadPoolExecutor(_DECODERS) as decoders, closing(fetcher.batches(listed, _STEP)) as batches:
        for batch, images in batches:
            ids = list(zip(batch[SHARD].to_pylist(), batch[ROW].to_pylist(), strict=True))
            checked = [problem or image for problem, image in zip(_problems(source, batch), images, strict=True)]
            own = [rows[identity] for identity in ids]
            yield dict(
                zip(ids, decoders.map(lambda image, row: _thumbnail(image, row, source), checked, own), strict=True)
            )


def _problems(source: ImageSource, batch: pa.Table) -> list[ImageError | None]:
    """The error of each image that is no longer the one that was listed; the other layouts find it themselves."""
    versions = batch[VERSION].to_pylist()
    if source.shards.layout is not Layout.FILES or not any(versions):
        return [None] * len(batch)

    def problem(uri: str, version: str | None) -> ImageError | None:
        try:
            now = version and source.storage.describe(uri)[1]
        except Exception as error:  # noqa: BLE001  the per-image guard
            return read_error(error)
        return None if now in {version, None} else changed()

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(problem, batch[URI].to_pylist(), versions))


def _thumbnail(image: Image, row: Mapping[str, Any], source: ImageSource) -> Thumbnail:
    if isinstance(image, ImageError):
        return Thumbnail(b"", image.message)
    try:
        return Thumbnail(thumbnail(image, source.limits, row))
    except ImageError as error:
        return Thumbnail(b"", hex_dump(image) if set(row) == _ERROR_NAMES else error.message)
    except Exception as error:  # noqa: BLE001  a row may come from any file
        return Thumbnail(b"", f"cannot be drawn: {one_line(error)}")


def hex_dump(data: bytes) -> str:
    """The first bytes of a file, as numbers and as text."""
    start = data[:_HEX_BYTES]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in start)  # noqa: PLR2004  printable ASCII
    return f"{len(data):,} bytes: {start.hex(' ')} {text}"
