from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from actors.errors import JobError
from actors.tasks.base import Outputs
from actors.tasks.classify import Activation, Classify

LOGITS = np.random.default_rng(1).normal(size=(6, 20)).astype(np.float32) * 5


def predict(task: Classify, logits: np.ndarray, labels: list[str] | None = None) -> tuple[pa.Table, np.ndarray]:
    fields = task.fields(Outputs.of({"output": logits}), labels)
    columns, valid = task.columns({"output": logits}, labels)
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)), valid


def test_scores_and_order_are_those_of_torch() -> None:
    table, valid = predict(Classify(top_k=5), LOGITS)
    scores, ids = torch.softmax(torch.from_numpy(LOGITS), 1).topk(5)
    np.testing.assert_array_equal(np.stack(table["top_label_ids"].to_pylist()), ids.numpy())
    np.testing.assert_allclose(np.stack(table["top_scores"].to_pylist()), scores.numpy(), atol=1e-6)
    np.testing.assert_allclose(table["score"].to_numpy(), scores[:, 0].numpy(), atol=1e-6)
    assert valid.all()


def test_labels_name_the_classes() -> None:
    labels = [f"class {number}" for number in range(20)]
    table, _ = predict(Classify(top_k=2), LOGITS, labels)
    for row in table.to_pylist():
        assert row["label"] == f"class {row['label_id']}"
        assert row["top_labels"] == [f"class {number}" for number in row["top_label_ids"]]


def test_without_labels_the_number_is_the_label() -> None:
    table, _ = predict(Classify(), LOGITS)
    assert table["label"].to_pylist() == [str(number) for number in table["label_id"].to_pylist()]


def test_equal_scores_give_the_lower_class_first() -> None:
    table, _ = predict(Classify(top_k=3), np.array([[1, 2, 2, 0]], np.float32))
    assert table["top_label_ids"].to_pylist() == [[1, 2, 0]]


def test_fewer_classes_than_top_k() -> None:
    table, _ = predict(Classify(top_k=5), np.array([[1, 2]], np.float32))
    assert table["top_label_ids"].to_pylist() == [[1, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_not_valid(bad: float) -> None:
    logits = LOGITS.copy()
    logits[2, 3] = bad
    _, valid = predict(Classify(), logits)
    assert valid.tolist() == [True, True, False, True, True, True]


def test_large_logits_do_not_overflow() -> None:
    table, valid = predict(Classify(), np.array([[3e38, -3e38]], np.float32))
    assert valid.all()
    assert table["score"].to_pylist() == [1.0]


def test_sigmoid_and_none() -> None:
    table, _ = predict(Classify(activation=Activation.sigmoid), np.array([[0.0, -100.0]], np.float32))
    assert table["score"].to_pylist() == [0.5]
    table, _ = predict(Classify(activation=Activation.none), np.array([[0.25, 0.75]], np.float32))
    assert table["score"].to_pylist() == [0.75]


def test_labels_of_the_wrong_number() -> None:
    with pytest.raises(JobError, match=r"3 labels.*20 classes"):
        Classify().fields(Outputs.of({"output": LOGITS}), ["a", "b", "c"])


def test_top_k_of_zero() -> None:
    with pytest.raises(JobError, match=r"task.top_k=0"):
        Classify(top_k=0).fields(Outputs.of({"output": LOGITS}), None)
