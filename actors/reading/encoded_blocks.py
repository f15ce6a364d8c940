"""Blocks of encoded images, for predictors that decode. Used in workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from actors.columns import LOCATION, READ_BYTES
from actors.decoding.pixel_blocks import error_columns
from actors.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.reading.image_bytes import Image


class EncodedBlock(NamedTuple):
    """Rows and their encoded images."""

    rows: pa.Table
    """The inventory's columns except the location, plus `READ_BYTES`, `STAGE`, `ERROR` and `MESSAGE`."""
    images: list[Image]
    """One per row, or the same error as in the row."""


def encoded_block(rows: pa.Table, images: Sequence[Image]) -> EncodedBlock:
    """Builds a block from ``rows`` of an inventory and their ``images``."""
    sizes = [len(image) if isinstance(image, bytes) else 0 for image in images]
    block = rows.drop_columns([name for name in LOCATION if name in rows.column_names])
    block = block.append_column(READ_BYTES, pa.array(sizes, pa.int64()))
    for name, column in error_columns([image if isinstance(image, ImageError) else None for image in images]).items():
        block = block.append_column(name, column)
    return EncodedBlock(block, list(images))


def joined(blocks: Sequence[EncodedBlock]) -> EncodedBlock:
    """Joins several blocks into one."""
    rows = pa.concat_tables([block.rows for block in blocks]).combine_chunks()
    return EncodedBlock(rows, [image for block in blocks for image in block.images])
