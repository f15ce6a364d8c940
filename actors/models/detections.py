"""Detections as torchvision's networks return them, in tensors of one size however many there are. Used where PyTorch
runs a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_DETECTIONS = 300
"""Detections of an image from a network that does not tell how many it gives: as many as any of torchvision's."""


def is_detections(returned: object) -> bool:
    """Returns True for the detections of an image: ``boxes`` (k, 4), ``scores`` (k,), ``labels`` (k,), and others."""
    return (
        isinstance(returned, Mapping)
        and returned.keys() >= {"boxes", "scores", "labels"}
        and all(isinstance(value, torch.Tensor) for value in returned.values())
    )


def padded(detections: Sequence[Mapping[str, torch.Tensor]], length: int) -> dict[str, torch.Tensor]:
    """The detections of n images by name, each tensor (k, ...) as (n, length, ...), the best first.

    Missing ones have score 0, label -1 and a box of zeros; of more than ``length``, the worst are left out. Masks
    (k, 1, height, width) lose the second axis.
    """
    orders = [found["scores"].argsort(descending=True, stable=True)[:length] for found in detections]
    outputs = {}
    for name, first in detections[0].items():
        whole = first.new_full((len(detections), length, *first.shape[1:]), -1 if name == "labels" else 0)
        for place, (found, order) in enumerate(zip(detections, orders, strict=True)):
            whole[place, : len(order)] = found[name][order]
        outputs[name] = whole.squeeze(2) if name == "masks" else whole
    return outputs
