from __future__ import annotations

import numpy as np
import pytest
import torch
from scored import Scored
from torchmetrics.classification import BinaryAUROC, BinaryF1Score, BinaryPrecision, BinaryRecall

from actors.evaluation.binary import BinaryClassification

METRICS = {"precision": BinaryPrecision, "recall": BinaryRecall, "f1": BinaryF1Score}


def found(scored: Scored, seed: int = 0) -> dict[str, float]:
    binary = BinaryClassification(labels=scored.labels)
    for rows in scored.batches(seed):
        binary.update(rows)
    return binary.compute(binary.counts())


@pytest.mark.parametrize("absent", [None, 0])
def test_scores_are_those_of_torchmetrics(absent: int | None) -> None:
    scored = Scored.random(400, 2, absent=absent)
    scores = found(scored)
    assert scores == found(scored, seed=1)
    for name, metric_class in METRICS.items():
        metric = metric_class()
        metric.update(torch.from_numpy(scored.scores[:, 1]), torch.from_numpy(scored.targets))
        assert scores[name] == pytest.approx(float(metric.compute()), abs=1e-6), name
    if absent is not None:
        assert "auroc" not in scores
        return
    area = BinaryAUROC(thresholds=501)
    area.update(torch.from_numpy(scored.scores[:, 1]), torch.from_numpy(scored.targets))
    assert scores["auroc"] == pytest.approx(float(area.compute()), abs=1e-6)


def test_the_area_is_exact_where_no_two_scores_share_a_bin_unless_equal() -> None:
    rng = np.random.default_rng(3)
    positive = rng.integers(0, 501, 300).astype(np.float32) / 500  # including zeros and ones
    scored = Scored.of(np.stack([1 - positive, positive], axis=1), rng.integers(0, 2, 300))
    exact = BinaryAUROC()
    exact.update(torch.from_numpy(positive), torch.from_numpy(scored.targets))
    assert found(scored)["auroc"] == pytest.approx(float(exact.compute()), abs=1e-6)


def test_without_rows_there_is_no_score() -> None:
    assert BinaryClassification().compute({}) == {}
