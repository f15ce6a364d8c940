from __future__ import annotations

import pytest
import torch
from scored import Scored
from torchmetrics.classification import MulticlassAccuracy

from actors.evaluation.accuracy import Accuracy, ClassificationError
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED


@pytest.mark.parametrize("top_k", [1, 3])
def test_shares_are_those_of_torchmetrics_over_unequal_batches(top_k: int) -> None:
    scored = Scored.random(500, 7, absent=4)
    metric = MulticlassAccuracy(7, average="micro", top_k=top_k)
    accuracy = Accuracy(top_k)
    for rows in scored.batches():
        accuracy.update(rows)
    metric.update(torch.from_numpy(scored.scores), torch.from_numpy(scored.targets))
    found = accuracy.compute(accuracy.counts())
    name = "accuracy" if top_k == 1 else "accuracy_top3"
    assert found[name] == pytest.approx(float(metric.compute()), abs=1e-6)
    assert found[f"top{top_k}"] == pytest.approx(100 * found[name])
    assert found[f"top{top_k}"] + found[f"top{top_k}_err"] == pytest.approx(100)
    accuracy.reset()
    assert accuracy.compute(accuracy.counts()) == {}


def test_the_counters_of_a_receipt_are_a_state() -> None:
    receipt = {NUM_LABELLED: 8, NUM_CORRECT: 6, "objects/cat": 3}
    assert Accuracy().compute(receipt) == {"accuracy": 0.75, "top1": 75.0, "top1_err": 25.0}
    assert ClassificationError().compute(receipt) == {"error": 0.25}


def test_an_error_is_of_images_and_not_a_mean_of_batches() -> None:
    scored = Scored.random(100, 3)
    error = ClassificationError()
    for rows in (scored.rows.slice(0, 99), scored.rows.slice(99)):
        error.update(rows)
    wrong = (scored.scores.argmax(1) != scored.targets).sum()
    assert error.compute(error.counts()) == {"error": pytest.approx(wrong / 100)}
