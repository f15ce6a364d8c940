from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch
from scored import Scored
from torchmetrics.classification import (
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

from actors.columns import TARGET
from actors.evaluation.confusion import ClassAverages, ConfusionMatrix

METRICS = {
    "precision_macro": (MulticlassPrecision, "macro"),
    "recall_macro": (MulticlassRecall, "macro"),
    "f1_macro": (MulticlassF1Score, "macro"),
    "f1_weighted": (MulticlassF1Score, "weighted"),
}


@pytest.mark.parametrize("inferencer", [ClassAverages, ConfusionMatrix])
@pytest.mark.parametrize("absent", [None, 4])
def test_averages_are_those_of_torchmetrics(
    inferencer: type[ClassAverages | ConfusionMatrix], absent: int | None
) -> None:
    scored = Scored.random(500, 7, absent=absent)
    measure = inferencer(scored.labels)
    for rows in scored.batches():
        measure.update(rows)
    found = measure.compute(measure.counts())
    assert found.keys() == METRICS.keys()
    for name, (metric_class, average) in METRICS.items():
        metric = metric_class(7, average=average)
        metric.update(torch.from_numpy(scored.scores), torch.from_numpy(scored.targets))
        assert found[name] == pytest.approx(float(metric.compute()), abs=1e-6), name


def test_the_matrix_is_that_of_torchmetrics() -> None:
    scored, confusion = Scored.random(300, 5), ConfusionMatrix(Scored.random(1, 5).labels)
    for rows in scored.batches():
        confusion.update(rows)
    metric = MulticlassConfusionMatrix(5)
    metric.update(torch.from_numpy(scored.scores), torch.from_numpy(scored.targets))
    np.testing.assert_array_equal(confusion.matrix(confusion.counts(), 5), metric.compute().numpy())


def test_many_classes_stay_pairs() -> None:
    scored = Scored.random(50, 3000)
    confusion = ConfusionMatrix(scored.labels)
    confusion.update(scored.rows)
    pairs = confusion.pairs(confusion.counts())
    expected = list(zip(scored.targets.tolist(), scored.scores.argmax(1).tolist(), strict=True))
    assert pairs == {pair: expected.count(pair) for pair in set(expected)}
    with pytest.raises(ValueError, match="3,000 classes make no dense matrix"):
        confusion.matrix(confusion.counts(), 3000)


def test_a_label_that_is_no_class_counts_against_the_predicted_one_alone() -> None:
    labels = ["cat", "dog"]
    rows = pa.table(
        {
            TARGET: ["cat", "wolf", "7", "dog"],
            "label_id": pa.array([0, 1, 0, 1], pa.int32()),
            "label": ["cat", "dog", "cat", "dog"],
        }
    )
    confusion, averages = ConfusionMatrix(labels), ClassAverages(labels)
    for measure in (confusion, averages):
        measure.update(rows)
    assert confusion.pairs(confusion.counts()) == {(0, 0): 1, (-1, 1): 1, (-1, 0): 1, (1, 1): 1}
    assert [own.precision for own in averages.classes(averages.counts())] == [0.5, 0.5]
    assert [own.recall for own in averages.classes(averages.counts())] == [1.0, 1.0]


def test_no_average_without_all_classes() -> None:
    scored, averages = Scored.random(50, 20), ClassAverages(max_classes=10)
    averages.update(scored.rows)
    assert averages.compute(averages.counts()) == {}
