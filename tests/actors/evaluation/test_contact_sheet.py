from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from actors.errors import JobError
from actors.evaluation.contact_sheet import contact_sheet


def answered(*rows: tuple[str | None, float | None, str | None]) -> pa.Table:
    return pa.table(
        {name: list(column) for name, column in zip(("label", "score", "error"), zip(*rows, strict=True), strict=True)}
    )


def colours(sheet: np.ndarray, place: int) -> set[tuple[int, ...]]:
    caption = sheet[96:, 96 * place : 96 * (place + 1)].reshape(-1, 3)
    return {tuple(pixel) for pixel in caption.tolist()}


def test_captions_show_right_wrong_and_failed() -> None:
    blue = np.full((20, 40, 3), (0, 0, 255), np.uint8)
    table = answered(("cat", 0.9, None), ("cat", 0.8, None), (None, None, "truncated"), ("cat", 1.0, None))
    png = contact_sheet([blue, blue, b"damaged", blue], table, ["cat", "dog", "dog", None])
    sheet = np.array(Image.open(io.BytesIO(png)))
    assert sheet.shape == (112, 4 * 96, 3)
    green, red, grey, black = (0, 128, 0), (255, 0, 0), (128, 128, 128), (0, 0, 0)
    for place, colour in enumerate((green, red, grey, black)):
        assert {green, red, grey, black} & colours(sheet, place) == {colour}
    blues = (sheet == (0, 0, 255)).all(axis=2)
    assert [int(blues[:, 96 * place : 96 * (place + 1)].sum()) for place in range(4)] == [92 * 46, 92 * 46, 0, 92 * 46]


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(JobError, match="1 images, 0 rows and 1 known labels"):
        contact_sheet([b""], answered(("cat", 1.0, None)).slice(1), ["cat"])
