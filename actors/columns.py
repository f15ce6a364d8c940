"""Columns that modules pass to each other, their Arrow types, and the packing of pixels. Used on driver and workers.

Columns whose names start with an underscore are internal: they are never written to users' files, and no kept column
may have such a name.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

IMAGE_ID = "image_id"
URI = "uri"
TARGET = "target"

# Partition keys of rows/ and errors/. Readers add a column for each, which hides a column of the same name in the
# files.
PARTITIONS = ("model", "run")  # in the order of the folders

# Identity of a row: its shard in the inventory, and its position in that shard, from 0.
SHARD = "_shard"
ROW = "_row"

# Location of the bytes of an image; jobs/datasets/base.py says which dataset fills which.
FILE = "_file"
OFFSET = "_offset"
SIZE = "_size"
VERSION = "_version"

# Added by reader, decoder and predictor. Seconds and bytes are per image. Height and width are those of the upright
# source image at full size, int32; 0 if the image has an error.
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

# Why the CPU decoded an image again after a GPU: a single colour, or sampled for comparison. Only with GPU decoding.
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
    """Wraps ``pixels_nhwc``, uint8 of shape (n, h, w, 3) in C order, as an Arrow column that shares its memory.

    Fixed-size binary needs no offsets, so a column may exceed 2 GiB, and slicing does not copy.
    """
    num_images = len(pixels_nhwc)
    image_bytes = int(np.prod(pixels_nhwc.shape[1:]))
    buffer = pa.py_buffer(np.ascontiguousarray(pixels_nhwc))
    return pa.Array.from_buffers(pa.binary(image_bytes), num_images, [None, buffer])


def unpack_pixels(column: pa.ChunkedArray, height: int, width: int) -> np.ndarray:
    """Views a column made by `pack_pixels` as images, read-only uint8 (n, height, width, 3).

    Copies only if the column has several chunks.
    """
    if not len(column):
        return np.empty((0, height, width, 3), np.uint8)
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    image_bytes = height * width * 3
    flat = np.frombuffer(array.buffers()[1], np.uint8, len(array) * image_bytes, array.offset * image_bytes)
    return flat.reshape(len(array), height, width, 3)
