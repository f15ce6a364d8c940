from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from actors.engines.base import InTurn
from actors.errors import JobError
from actors.predicting.adaptive_batches import ElasticBatches
from actors.predicting.output_checks import OutputShapeError, check_consistent, only_expected
from actors.tasks.base import Outputs

EXPECTED = Outputs.of({"boxes": np.zeros((2, 4), np.float32)})


class Padding(InTurn):
    """Returns a number of values that depends on the brightest pixel of the batch."""

    name, device, precision = "padding", "cpu", "fp32"
    details: ClassVar[dict[str, str]] = {}
    uncounted: ClassVar[dict[str, tuple[int, ...]]] = {}

    def __call__(self, pixels_nhwc: np.ndarray) -> dict[str, np.ndarray]:
        return {"boxes": np.ones((len(pixels_nhwc), 4 + int(pixels_nhwc.max())), np.float32)}

    def release(self) -> None:
        pass


def test_only_what_is_expected_goes_on() -> None:
    boxes = np.ones((3, 4), np.float32)
    assert list(only_expected({"loss": np.ones(1), "boxes": boxes}, EXPECTED)) == ["boxes"]


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({"boxes": np.ones((3, 5), np.float32)}, r"output boxes has shape \(n, 4\) .* and \(n, 5\) of float32 here"),
        ({"boxes": np.ones((3, 4), np.int64)}, r"output boxes .* of int64 here"),
        ({"other": np.ones((3, 4))}, r"output boxes is missing here; it gives other \(n, 4\)"),
    ],
)
def test_another_shape_is_reported_with_the_name_of_the_output(tensors: dict[str, np.ndarray], problem: str) -> None:
    with pytest.raises(OutputShapeError, match=problem):
        only_expected(tensors, EXPECTED)
    with pytest.raises(JobError, match="the same number of values for every image"):
        check_consistent(tensors, EXPECTED)


def test_only_the_images_that_ask_for_another_shape_become_errors() -> None:
    pixels_nhwc = np.zeros((8, 2, 2, 3), np.uint8)
    pixels_nhwc[5] = 3
    outputs, errors = ElasticBatches(Padding(), 8, expected=EXPECTED)(pixels_nhwc, np.arange(8))
    assert outputs["boxes"].shape == (7, 4)
    assert list(errors) == [5]
    assert "output boxes has shape (n, 4)" in errors[5].message
    assert "(n, 7)" in errors[5].message


def test_a_model_that_never_gives_what_it_gave_at_first_is_wrong() -> None:
    pixels_nhwc = np.full((16, 2, 2, 3), 3, np.uint8)
    with pytest.raises(JobError, match=r"output boxes has shape \(n, 4\).*\(n, 7\)"):
        ElasticBatches(Padding(), 16, expected=EXPECTED)(pixels_nhwc, np.arange(16))
