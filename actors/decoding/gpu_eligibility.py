"""Selects the images that a GPU may decode, from their headers alone, and plans their resize and crop. Runs in a worker
that decodes on a GPU, before its decoder sees a byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.decoding import jpeg_header
from actors.decoding.turbo_decoder import has_sound_tables, stored_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.decoding.config import Decode
    from actors.preprocess import Axis, Preprocess


@dataclass(frozen=True, slots=True)
class PlainJpeg:
    """A complete single-scan, 8-bit JPEG in grey or YCbCr, with valid tables, within the limits."""

    place: int
    """Position in its batch."""
    data: bytes
    stored: tuple[int, int]
    """Height and width as stored, before the orientation is undone."""
    orientation: int
    """EXIF orientation; numbers outside 1 to 8 have no meaning."""
    resized: tuple[int, int]
    """Height and width after orientation and resize."""
    axes: tuple[Axis, Axis]
    """Rows and columns that the crop keeps."""

    @property
    def source_hw(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        height, width = self.stored
        return (width, height) if self.orientation in jpeg_header.TRANSPOSED else (height, width)

    @property
    def num_pixels(self) -> int:
        return math.prod(self.stored)


def find_plain(encoded: Sequence[bytes], limits: Decode, preprocess: Preprocess) -> list[PlainJpeg]:
    """Selects the images of a batch, in order, that a GPU decodes like the CPU and resizes well.

    Omits images that are truncated, oddly laid out, or in other colour spaces, where decoders differ; progressive
    images, whose slow half nvImageCodec decodes on the CPU; and images that would need a lot of memory.
    """
    found = (_plain(place, data, limits, preprocess) for place, data in enumerate(encoded))
    return [plain for plain in found if plain]


def chunks(images: Sequence[PlainJpeg]) -> Iterator[list[PlainJpeg]]:
    """Splits a batch into parts of at most `_CHUNK_PIXELS`, or a single image, to decode at a time."""
    chunk: list[PlainJpeg] = []
    num_pixels = 0
    for plain in images:
        if chunk and num_pixels + plain.num_pixels > _CHUNK_PIXELS:
            yield chunk
            chunk, num_pixels = [], 0
        chunk.append(plain)
        num_pixels += plain.num_pixels
    if chunk:
        yield chunk


_MOST_PIXELS = 1 << 25  # 400 MB as float32; libjpeg-turbo decodes a larger image faster, scaled down
_CHUNK_PIXELS = 1 << 26  # 200 MB as uint8
_MOST_SHRUNK = 40  # times; beyond, the weights of PyTorch's bicubic kernel exceed 48 kB of shared memory


def _plain(place: int, data: bytes, limits: Decode, preprocess: Preprocess) -> PlainJpeg | None:
    is_jpeg = data.startswith(b"\xff\xd8\xff") and len(data) <= limits.max_bytes
    header = jpeg_header.read_header(data) if is_jpeg else None
    if header is None or header.is_multi_scan:
        return None
    stored = stored_size(data)
    if stored is None or math.prod(stored) > min(limits.max_pixels, _MOST_PIXELS):
        return None
    start = jpeg_header.plain_start(data)
    if start is None or not has_sound_tables(start):
        return None
    height, width = stored[::-1] if header.orientation in jpeg_header.TRANSPOSED else stored
    resized = preprocess.resized(height, width)
    rows, columns = preprocess.axes(height, width)
    if math.prod(resized) > _MOST_PIXELS or not (_is_easy(rows) and _is_easy(columns)):
        return None
    return PlainJpeg(place, data, stored, header.orientation, resized, (rows, columns))


def _is_easy(axis: Axis) -> bool:
    """Returns True if PyTorch can resize the whole axis on a GPU."""
    return not axis.is_strip and axis.source <= _MOST_SHRUNK * axis.length
