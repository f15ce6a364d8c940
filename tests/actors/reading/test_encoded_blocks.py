from __future__ import annotations

import pyarrow as pa

from actors.columns import ERROR, FILE, MESSAGE, OFFSET, READ_BYTES, SIZE, STAGE, URI, VERSION
from actors.errors import ImageError
from actors.reading.encoded_blocks import encoded_block, joined

ROWS = pa.table({URI: ["a", "b"], **{name: [None, None] for name in (FILE, OFFSET, SIZE, VERSION)}})
IMAGES = [b"four", ImageError("read", "not_found", "gone")]


def test_a_block_has_the_images_and_the_errors_of_those_that_could_not_be_read() -> None:
    rows, images = encoded_block(ROWS, IMAGES)
    assert images == IMAGES
    assert rows.to_pydict() == {
        URI: ["a", "b"],
        READ_BYTES: [4, 0],
        STAGE: [None, "read"],
        ERROR: [None, "not_found"],
        MESSAGE: [None, "gone"],
    }


def test_blocks_of_one_row_make_the_block_of_all() -> None:
    whole = encoded_block(ROWS, IMAGES)
    parts = [encoded_block(ROWS.slice(number, 1), IMAGES[number : number + 1]) for number in range(2)]
    assert joined(parts) == whole
