"""A network followed by its post-processing, as graph exporters expect it. Needs PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from actors.exporting.postprocess import NONE, SCORES, SOFTMAX, TOP_LABEL_IDS, TOP_SCORES
from actors.models.outputs import named

if TYPE_CHECKING:
    from actors.exporting.postprocess import Postprocess


def followed_by(steps: Postprocess, network: torch.nn.Module) -> torch.nn.Module:
    """Returns ``network`` followed by ``steps``; ``network`` itself if there are none."""
    return network if steps.kind == NONE else Postprocessed(network, steps)


class Postprocessed(torch.nn.Module):
    """Applies an `actors.exporting.postprocess.Postprocess` whose kind is not `NONE`. Computes scores in fp32."""

    def __init__(self, network: torch.nn.Module, steps: Postprocess) -> None:
        super().__init__()
        self.network = network
        self.steps = steps

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = named(self.network(pixels))[self.steps.output].flatten(1).to(torch.float32)
        scores = logits.sigmoid() if self.steps.sigmoid else logits.softmax(dim=1)
        if self.steps.kind == SOFTMAX:
            return {SCORES: scores}
        best, label_ids = scores.topk(self.steps.top_k, dim=1)
        return {TOP_SCORES: best, TOP_LABEL_IDS: label_ids.to(torch.int32)}


class StoredIn(torch.nn.Module):
    """A network whose real-valued weights are stored in ``dtype`` and converted to float32 for each batch.

    Does not compute in ``dtype``: a program fixes where it converts, and engines choose the compute precision.
    """

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network.to(dtype)

    def forward(self, pixels_nchw: torch.Tensor) -> dict[str, torch.Tensor]:
        stored = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        real = {name: t.to(torch.float32) if t.is_floating_point() else t for name, t in stored.items()}
        return named(torch.func.functional_call(self.network, real, (pixels_nchw.to(torch.float32),)))
