"""Detections from torchvision's networks, padded to tensors of a fixed size. Used where PyTorch runs a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_DETECTIONS = 300
"""Detections per image for a network that does not declare a maximum: the largest maximum in torchvision."""


def is_detections(returned: object) -> bool:
    """Returns True for the detections of an image: ``boxes`` (k, 4), ``scores`` (k,), ``labels`` (k,), and optional
    others.
    """
    return (
        isinstance(returned, Mapping)
        and returned.keys() >= {"boxes", "scores", "labels"}
        and all(isinstance(value, torch.Tensor) for value in returned.values())
    )


def padded(detections: Sequence[Mapping[str, torch.Tensor]], length: int) -> dict[str, torch.Tensor]:
    """Returns the detections of n images by name, each tensor (k, ...) as (n, length, ...), best first.

    Missing detections have score 0, label -1 and a box of zeros; beyond ``length``, the worst are omitted. Masks (k, 1,
    height, width) lose the second axis.
    """
    orders = [found["scores"].argsort(descending=True, stable=True)[:length] for found in detections]
    outputs = {}
    for name, first in detections[0].items():
        whole = first.new_full((len(detections), length, *first.shape[1:]), -1 if name == "labels" else 0)
        for place, (found, order) in enumerate(zip(detections, orders, strict=True)):
            whole[place, : len(order)] = found[name][order]
        outputs[name] = whole.squeeze(2) if name == "masks" else whole
    return outputs
