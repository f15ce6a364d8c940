"""Accuracy and error rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.evaluation.inferencer import CountingInferencer
from actors.tasks.accuracy import accuracy_names, count_correct

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


class Accuracy(CountingInferencer):
    """Share of images whose known label is among the ``top_k`` best classes: ``accuracy`` or ``accuracy_topK``, like
    torchmetrics' `MulticlassAccuracy` with ``average="micro"``, and in percent ``topK`` and ``topK_err``, like timm.
    """

    def __init__(self, top_k: int = 1) -> None:
        super().__init__()
        self.top_k = top_k

    def count(self, rows: pa.Table) -> dict[str, int]:
        return count_correct(rows, self.top_k)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        num_labelled, num_correct = (counts.get(name, 0) for name in accuracy_names(self.top_k))
        if not num_labelled:
            return {}
        share = num_correct / num_labelled
        own, top = "accuracy" if self.top_k == 1 else f"accuracy_top{self.top_k}", f"top{self.top_k}"
        return {own: share, top: 100 * share, f"{top}_err": 100 * (1 - share)}


class ClassificationError(CountingInferencer):
    """Share of images whose best class is not the known label, as ``error``."""

    def count(self, rows: pa.Table) -> dict[str, int]:
        return count_correct(rows)

    def compute(self, counts: Mapping[str, int]) -> dict[str, float]:
        found = Accuracy().compute(counts)
        return {"error": 1 - found["accuracy"]} if found else {}
