from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.models.text_head import TextHead

HEAD = TextHead(np.array([[1, 0], [0.6, 0.8]], np.float32), 10.0, -2.0, is_sigmoid=True, digest="abc")


def test_logits_are_scaled_cosines_for_vectors_of_any_length() -> None:
    logits = HEAD.logits(np.array([[2, 0], [0, 5]], np.float32))
    np.testing.assert_allclose(logits, [[8, 4], [-2, 6]], atol=1e-6)
    assert logits.dtype == np.float32


@pytest.mark.parametrize("image", [[0, 0], [np.nan, 1], [np.inf, 1]])
def test_an_image_without_a_direction_has_no_finite_logits(image: list[float]) -> None:
    assert not np.isfinite(HEAD.logits(np.array([image], np.float32))).any()


def test_a_saved_head_comes_back(tmp_path: Path) -> None:
    HEAD.save(tmp_path / "head.npz")
    back = TextHead.load(tmp_path / "head.npz")
    np.testing.assert_array_equal(back.vectors, HEAD.vectors)
    assert {**vars(back), "vectors": 0} == {**vars(HEAD), "vectors": 0}
