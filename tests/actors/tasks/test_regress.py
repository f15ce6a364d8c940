from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.engines.tolerance import EXACT, Tolerance
from actors.errors import JobError
from actors.preprocess import Preprocess
from actors.tasks.base import Outputs
from actors.tasks.context import BatchContext
from actors.tasks.regress import Points, Regress

VALUES = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)


def regress(task: Regress, context: BatchContext | None = None, **tensors: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    fields = task.fields(Outputs.of(tensors), None)
    read = {name: tensors[name] for name in task.output_names(Outputs.of(tensors))}
    num_images = len(next(iter(tensors.values())))
    columns, valid = task.columns(read, context or BatchContext.of_inputs(None, Preprocess(), num_images))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)), valid


def test_a_list_names_each_value() -> None:
    table, valid = regress(Regress(names=list("abcde")), output=VALUES)
    assert table.schema.types == [pa.float32()] * 5
    np.testing.assert_array_equal(np.stack([table[name].to_numpy() for name in "abcde"], axis=1), VALUES)
    assert valid.all()


def test_a_mapping_cuts_the_vector_into_numbers_and_lists() -> None:
    table, _ = regress(Regress(names={"age": 1, "keypoints": 4}), output=VALUES)
    assert table.schema == pa.schema([("age", pa.float32()), ("keypoints", pa.list_(pa.float32(), 4))])
    np.testing.assert_array_equal(table["age"].to_numpy(), VALUES[:, 0])
    np.testing.assert_array_equal(np.stack(table["keypoints"].to_pylist()), VALUES[:, 1:])


def test_without_names_each_output_is_a_column() -> None:
    table, _ = regress(Regress(), age=VALUES[:, :1], points=VALUES[:, 1:].reshape(6, 2, 2), count=np.arange(6))
    assert table.schema.names == ["age", "points", "count"]
    assert table["points"].to_pylist()[0] == VALUES[0, 1:].tolist()
    assert table["count"].to_pylist() == [0, 1, 2, 3, 4, 5]


def test_outputs_follow_one_another_in_the_order_given() -> None:
    task = Regress(output=["b", "a"], names=["first", "second"])
    table, _ = regress(task, a=VALUES[:, :1], b=VALUES[:, 1], c=VALUES)
    np.testing.assert_array_equal(table["first"].to_numpy(), VALUES[:, 1])
    np.testing.assert_array_equal(table["second"].to_numpy(), VALUES[:, 0])


def test_values_are_scaled_back_by_one_number_or_one_a_column() -> None:
    table, _ = regress(Regress(names={"age": 1, "rest": 4}, scale=[15, 2], offset=[40, 0.5]), output=VALUES)
    np.testing.assert_allclose(table["age"].to_numpy(), VALUES[:, 0] * 15 + 40, rtol=1e-6)
    np.testing.assert_allclose(np.stack(table["rest"].to_pylist()), VALUES[:, 1:] * 2 + 0.5, rtol=1e-6)
    table, _ = regress(Regress(names=["all"], scale=3, offset=1), output=VALUES[:, :1])
    np.testing.assert_allclose(table["all"].to_numpy(), VALUES[:, 0] * 3 + 1, rtol=1e-6)


@pytest.mark.parametrize(("points", "corner"), [(Points.pixels, (200, 100)), (Points.shares, (1, 1))])
def test_key_points_are_mapped_to_the_upright_source(points: Points, corner: tuple[float, float]) -> None:
    preprocess = Preprocess(resize=[100, 200], crop=[100, 200])
    sizes_hw = np.array([[400, 600], [50, 100]], np.int32)
    given = np.array([[7, 0, 0, *corner], [8, 0, 0, *corner]], np.float32)
    task = Regress(names={"score": 1, "corners": 4}, points=points)
    table, _ = regress(task, BatchContext(None, preprocess, sizes_hw), output=given)
    assert table["score"].to_pylist() == [7, 8]
    assert table["corners"].to_pylist() == [[0, 0, 600, 400], [0, 0, 100, 50]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_not_valid(bad: float) -> None:
    values = VALUES.copy()
    values[4, 2] = bad
    _, valid = regress(Regress(names={"all": 5}), output=values)
    assert valid.tolist() == [True, True, True, True, False, True]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"names": ["a", "b"]}, r"task.names: its columns hold 2 values, and the model gives output \(n, 5\)"),
        ({"names": {"a": 4, "A": 1}}, "two columns have the name a"),
        ({"names": {"a": 0}}, "not a name and a number of values"),
        ({"names": 3}, "not a name and a number of values"),
        ({"names": {"a": 5}, "scale": [1, 2]}, "task.scale="),
        ({"names": {"a": 5}, "offset": "x"}, "task.offset="),
        ({"names": {"a": 5}, "scale": float("nan")}, "task.scale=nan"),
        ({"names": {"a": 3, "b": 2}, "points": "pixels"}, "column a has 3 values, not pairs"),
        ({"output": "logits"}, "task.output=logits: the model gives output"),
        ({"output": ["output", "output"]}, "names an output twice"),
        ({"output": []}, "task.output="),
        ({"points": "metres"}, "task.points"),
    ],
)
def test_keys_that_do_not_fit(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        Regress(**keys).fields(Outputs.of({"output": VALUES}), None)


def test_an_output_without_one_entry_an_image() -> None:
    outputs = Outputs({"age": (1,)}, {"age": np.dtype(np.float32)}, {"anchors": (7, 4)})
    with pytest.raises(JobError, match="anchors has shape"):
        Regress().fields(outputs, None)
    assert [field.name for field in Regress(output="age").fields(outputs, None)] == ["age"]


def test_each_column_counts_against_its_own_spread() -> None:
    wanted = np.stack([np.linspace(0, 1000, 8), np.linspace(0, 1, 8)], axis=1).astype(np.float32)
    given = wanted.copy()
    given[5, 1] += 0.5
    task = Regress(names=["age", "score"], scale=[2, 1])
    assert task.agreement({"output": wanted}, {"output": wanted}, EXACT).breaches == []
    agreement = task.agreement({"output": wanted}, {"output": given}, Tolerance())
    (breach,) = agreement.breaches
    assert breach.startswith("column score of image 5 is off by 1.4")
    assert agreement.figures["images"] == 8
    assert task.agreement({"output": wanted}, {}, Tolerance()).breaches == ["output output is missing"]
    given[2, 0] = np.nan
    lost = task.agreement({"output": wanted}, {"output": given}, Tolerance()).breaches
    assert "output age has values that are not finite for image 2, unlike the reference's" in lost
