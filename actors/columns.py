"""The columns that cross module borders, their Arrow types, and how pixels travel. Used on driver and workers.

Columns that start with an underscore are internal: they never reach the files that users read,
and no kept column may take such a name.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

IMAGE_ID = "image_id"
URI = "uri"
TARGET = "target"

# Keys of the partitions of rows/ and errors/: readers put a column of each name in the place of one in the files.
PARTITIONS = ("model", "run")

# Identity of a row: its shard of the inventory, and its position in that shard from 0.
SHARD = "_shard"
ROW = "_row"

# Where the bytes of an image lie; see jobs/datasets/base.py for who fills what.
FILE = "_file"
OFFSET = "_offset"
SIZE = "_size"
VERSION = "_version"

# What reader, decoder and predictor add. Seconds and bytes are per image.
PIXELS = "_pixels"
HEIGHT = "_height"
WIDTH = "_width"
STAGE = "_stage"
ERROR = "_error"
MESSAGE = "_message"
READ_BYTES = "_read_bytes"
READ_S = "_read_s"
DECODE_S = "_decode_s"
PREDICT_S = "_predict_s"

# Why the CPU decoded what a GPU had: it was of one colour, or was drawn to compare. Only where GPUs decode.
DECODE_CHECK = "_decode_check"
FLAT, DRAWN = "flat", "drawn"

INVENTORY_FIELDS = (
    pa.field(SHARD, pa.int32(), nullable=False),
    pa.field(ROW, pa.int32(), nullable=False),
    pa.field(IMAGE_ID, pa.string(), nullable=False),
    pa.field(URI, pa.string(), nullable=False),
    pa.field(FILE, pa.string()),
    pa.field(OFFSET, pa.int64()),
    pa.field(SIZE, pa.int64()),
    pa.field(VERSION, pa.string()),
)
LOCATION = (FILE, OFFSET, SIZE, VERSION)

ERROR_FIELDS = (
    pa.field(IMAGE_ID, pa.string(), nullable=False),
    pa.field(URI, pa.string(), nullable=False),
    pa.field("stage", pa.string(), nullable=False),
    pa.field("error", pa.string(), nullable=False),
    pa.field("message", pa.string(), nullable=False),
)


def pack_pixels(pixels_nhwc: np.ndarray) -> pa.Array:
    """Arrow column that shares the memory of ``pixels_nhwc``, uint8 of shape (n, h, w, 3), C order.

    Fixed-size binary needs no offsets, so a column may exceed 2 GiB and slices stay free of copies.
    """
    num_images = len(pixels_nhwc)
    image_bytes = int(np.prod(pixels_nhwc.shape[1:]))
    buffer = pa.py_buffer(np.ascontiguousarray(pixels_nhwc))
    return pa.Array.from_buffers(pa.binary(image_bytes), num_images, [None, buffer])


def unpack_pixels(column: pa.ChunkedArray, height: int, width: int) -> np.ndarray:
    """The images of a column made by `pack_pixels`, as read-only uint8 (n, height, width, 3).

    Free of copies when the column is one chunk.
    """
    if not len(column):
        return np.empty((0, height, width, 3), np.uint8)
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    image_bytes = height * width * 3
    flat = np.frombuffer(array.buffers()[1], np.uint8, len(array) * image_bytes, array.offset * image_bytes)
    return flat.reshape(len(array), height, width, 3)
