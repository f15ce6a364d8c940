"""Adapts metrics of tensors, such as torchmetrics', to measure rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from actors.tasks.accuracy import labelled, true_ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa


class TensorMetric(Protocol):
    """The part of torchmetrics' `Metric` that is used; a custom metric needs nothing else."""

    def reset(self) -> None: ...

    def update(self, preds: Any, target: Any) -> None: ...

    def compute(self) -> Any: ...


class TensorInferencer:
    """An `Inferencer` around a classification metric that accepts tensors: predictions and known class numbers.

    Predictions are scores, float32 (n, classes), if ``labels`` are given and the rows list all classes; otherwise the
    best class numbers, int64 (n,). Rows whose known label is not a class are ignored.

    Args:
        name: name of the score; a metric that returns a dict appends each key with an underscore.
        metric: has `reset`, `update` and `compute`.
        labels: class names in order; required if the model has any.
    """

    def __init__(self, name: str, metric: TensorMetric, labels: Sequence[str] | None = None) -> None:
        self.name, self.metric, self.labels = name, metric, labels

    def reset(self) -> None:
        self.metric.reset()

    def update(self, rows: pa.Table) -> None:
        import torch  # noqa: PLC0415  only for users of such metrics

        rows = labelled(rows)
        target = true_ids(rows, self.labels).to_numpy()
        is_class = target >= 0
        if is_class.any():
            predictions = _predictions(rows, len(self.labels) if self.labels else None)[is_class]
            self.metric.update(torch.from_numpy(predictions), torch.from_numpy(target[is_class].astype(np.int64)))

    def counts(self) -> dict[str, int]:
        return {}

    def compute(self, counts: Mapping[str, int] | None = None) -> dict[str, float]:  # noqa: ARG002
        found = self.metric.compute()
        scores = {f"{self.name}_{key}": value for key, value in found.items()} if isinstance(found, dict) else None
        return {name: float(value) for name, value in (scores or {self.name: found}).items()}


def _predictions(rows: pa.Table, num_classes: int | None) -> np.ndarray:
    names = ("top_label_ids", "top_scores")
    if num_classes and set(names) <= set(rows.column_names):
        ids, scores = (np.stack(rows[name].to_numpy()) for name in names)
        if ids.shape[1] == num_classes:
            return np.take_along_axis(scores, ids.argsort(axis=1), axis=1)
    return np.asarray(rows["label_id"].to_numpy().astype(np.int64))
