from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.engines.tolerance import EXACT, Tolerance
from actors.preprocess import Preprocess
from actors.tasks.base import Outputs
from actors.tasks.context import BatchContext
from actors.tasks.raw import Raw

RNG = np.random.default_rng(3)
TENSORS = {
    "score": RNG.normal(size=5).astype(np.float32),
    "logits": RNG.normal(size=(5, 7)).astype(np.float32),
    "map": RNG.normal(size=(5, 2, 3, 4)).astype(np.float32),
    "count": RNG.integers(0, 9, (5, 2)),
}
CONTEXT = BatchContext.of_inputs(None, Preprocess(), 1)


def test_every_output_comes_back_from_parquet_as_it_is(tmp_path: Path) -> None:
    columns, valid = Raw().columns(TENSORS, CONTEXT)
    table = pa.Table.from_arrays(columns, schema=pa.schema(Raw().fields(Outputs.of(TENSORS), None)))
    pq.write_table(table, tmp_path / "raw.parquet")
    back = pq.read_table(tmp_path / "raw.parquet")
    np.testing.assert_array_equal(back["score"].to_numpy(), TENSORS["score"])
    np.testing.assert_array_equal(np.stack(back["logits"].to_pylist()), TENSORS["logits"])
    np.testing.assert_array_equal(back["map"].combine_chunks().to_numpy_ndarray(), TENSORS["map"])
    np.testing.assert_array_equal(np.stack(back["count"].to_pylist()), TENSORS["count"])
    assert valid.all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_kept(value: float) -> None:
    (column,), valid = Raw().columns({"x": np.array([value], np.float32)}, CONTEXT)
    np.testing.assert_array_equal(column.to_numpy(), [value])
    assert valid.all()


def test_the_same_tensors_agree_in_every_figure() -> None:
    agreement = Raw().agreement(TENSORS, TENSORS, EXACT)
    assert agreement.breaches == []
    assert agreement.figures == {"images": 5, "relative_error": 0, "output_error": 0, "equal_elements": 1}


def test_the_error_is_that_of_the_worst_image_and_output() -> None:
    reference = {"map": np.zeros((3, 2, 2), np.float32), "other": np.eye(3, dtype=np.float32)}
    reference["map"][:] = [[[[3]], [[4]], [[5]]]] * np.ones((2, 2))
    candidate = {"map": reference["map"].copy(), "other": reference["other"] * np.float32(1.01)}
    candidate["map"][2] *= 1.2
    agreement = Raw().agreement(reference, candidate, Tolerance(output_error=1))
    assert agreement.figures["relative_error"] == pytest.approx(0.2)
    assert agreement.breaches == [
        "output map of image 2 is off by 0.2 of its length (engine.tolerance.relative_error=0.1)"
    ]


def test_an_answer_that_is_nearly_nothing_makes_no_error_large() -> None:
    reference = np.array([1.0, -1.0, 1e-6], np.float32)
    agreement = Raw().agreement({"x": reference}, {"x": reference + np.float32(1e-3)}, Tolerance())
    assert agreement.figures["relative_error"] == pytest.approx(1e-3 / np.sqrt(2 / 3), rel=1e-3)
    assert agreement.breaches == []


def test_what_all_images_share_hides_no_error() -> None:
    reference = (1000 + RNG.normal(size=(6, 3, 3))).astype(np.float32)
    agreement = Raw().agreement({"x": reference}, {"x": reference[::-1]}, Tolerance())
    assert agreement.figures["relative_error"] < 0.01
    (breach,) = agreement.breaches
    assert "of the spread between images (engine.tolerance.output_error=0.15)" in breach


def test_few_whole_numbers_may_be_others() -> None:
    reference = {"mask": np.zeros((4, 5, 10), np.int64), "flag": np.zeros(4, bool)}
    candidate = {name: tensor.copy() for name, tensor in reference.items()}
    candidate["mask"][1, 0, :2] = 3
    candidate["flag"][2] = True
    agreement = Raw().agreement(reference, candidate, Tolerance())
    assert agreement.breaches == []
    assert agreement.figures == {"images": 4, "equal_elements": 0.75}
    candidate["mask"][1, 0, 2] = 3
    assert Raw().agreement(reference, candidate, Tolerance()).breaches == [
        "output mask: 3 of 200 values differ (engine.tolerance.flip_ratio=0.01)"
    ]


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_the_same(hole: float) -> None:
    masked = TENSORS["logits"].copy()
    masked[:, 2] = hole
    assert Raw().agreement({"x": masked}, {"x": masked}, EXACT).breaches == []
    other = masked.copy()
    other[1, 4] = hole
    agreement = Raw().agreement({"x": masked}, {"x": other}, Tolerance())
    assert agreement.breaches == ["output x has values that are not finite for image 1, unlike the reference's"]
    assert agreement.figures["images"] == 4
    another_kind = np.where(np.isnan(masked), np.inf, -masked)
    assert Raw().agreement({"x": masked}, {"x": another_kind}, Tolerance()).breaches


def test_without_a_finite_value_there_is_nothing_to_compare() -> None:
    nothing = np.full((3, 2), np.nan, np.float32)
    agreement = Raw().agreement(TENSORS | {"x": nothing}, TENSORS | {"x": nothing}, Tolerance())
    (breach,) = agreement.breaches
    assert breach.startswith("output x leaves nothing to compare")
    empty = {name: tensor[:0] for name, tensor in TENSORS.items()}
    assert len(Raw().agreement(empty, empty, Tolerance()).breaches) == len(TENSORS)


def test_every_output_is_compared() -> None:
    for name, tensor in TENSORS.items():
        assert Raw().agreement(TENSORS, TENSORS | {name: tensor + tensor.dtype.type(9)}, Tolerance()).breaches
        assert Raw().agreement(TENSORS, {k: v for k, v in TENSORS.items() if k != name}, Tolerance()).breaches
