from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from scored import Scored

from actors.columns import TARGET
from actors.evaluation.binary import BinaryClassification
from actors.evaluation.calibration import Calibration
from actors.evaluation.confusion import ClassAverages
from actors.evaluation.receipt_scores import CLASS_SCORES, NUMBER_SCORES, receipt_scores
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED
from actors.tasks.classify import Classify
from actors.tasks.regress import Regress


@pytest.mark.parametrize("num_classes", [2, 7])
def test_parts_give_the_scores_of_all_rows(num_classes: int) -> None:
    scored, task = Scored.random(300, num_classes), Classify()
    task._labels = scored.labels
    total = Counter[str]()
    for rows in scored.batches():
        total.update(task.counts(rows))
    found = receipt_scores(total)
    assert set(found) == set(CLASS_SCORES if num_classes == 2 else CLASS_SCORES[:-4])
    for measure in (
        Calibration(),
        ClassAverages(scored.labels),
        *([BinaryClassification()] if num_classes == 2 else []),
    ):
        measure.update(scored.rows)
        assert measure.compute(measure.counts()).items() <= found.items()


def test_receipts_of_earlier_versions_have_the_accuracy_alone() -> None:
    old = Counter({NUM_LABELLED: 10, NUM_CORRECT: 5})
    assert receipt_scores(old) == {"accuracy": 0.5, "top1": 50.0, "top1_err": 50.0}
    new = Classify().counts(Scored.random(10, 3).rows)
    assert receipt_scores(old + Counter(new)).keys() == {"accuracy", "top1", "top1_err"}
    assert receipt_scores({}) == {}


def test_numbers() -> None:
    rows = pa.table({"age": pa.array([1.5, 2.0, 5.0], pa.float32()), TARGET: ["1", "2", "4"]})
    assert receipt_scores(Regress().counts(rows)).keys() == set(NUMBER_SCORES)
