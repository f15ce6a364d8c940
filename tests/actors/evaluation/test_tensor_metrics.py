from __future__ import annotations

import pytest
import torch
from scored import Scored
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAUROC, MulticlassF1Score

from actors.evaluation.tensor_metrics import TensorInferencer


def test_a_metric_of_torchmetrics_takes_rows() -> None:
    scored = Scored.random(200, 4)
    metrics = {"auroc": MulticlassAUROC(4), "f1": MulticlassF1Score(4)}
    measure = TensorInferencer("val", MetricCollection(metrics), scored.labels)
    for rows in scored.batches():
        measure.update(rows)
    found = measure.compute(measure.counts())
    tensors = torch.from_numpy(scored.scores), torch.from_numpy(scored.targets)
    for name, metric in metrics.items():
        other = type(metric)(4)
        other.update(*tensors)
        assert found[f"val_{name}"] == pytest.approx(float(other.compute()), abs=1e-6)


def test_without_all_scores_the_metric_gets_the_best_class() -> None:
    scored = Scored.random(50, 4)
    measure = TensorInferencer("f1", MulticlassF1Score(4), scored.labels)
    measure.update(scored.rows.drop_columns(["top_label_ids", "top_scores", "top_labels"]))
    metric = MulticlassF1Score(4)
    metric.update(torch.from_numpy(scored.scores), torch.from_numpy(scored.targets))
    assert measure.compute() == {"f1": pytest.approx(float(metric.compute()), abs=1e-6)}
    measure.reset()
    measure.update(scored.rows.slice(0, 0))
