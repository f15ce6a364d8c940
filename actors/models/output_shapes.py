"""Checks output shapes against the number of images. Used by all engines and the exporter; imports no library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import torch


def uncounted(outputs: Mapping[str, np.ndarray | torch.Tensor], num_images: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of outputs whose first axis is not the number of images. Raises `JobError` if there are no
    others.
    """
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    odd = {name: shape for name, shape in shapes.items() if shape[:1] != (num_images,)}
    if len(odd) == len(shapes):
        raise not_counted(odd, num_images)
    return odd


def not_counted(shapes: Mapping[str, tuple[int, ...]], num_images: int) -> JobError:
    """Returns the error for outputs of these ``shapes`` that the task needs."""
    name, shape = next(iter(shapes.items()))
    return JobError(
        f"the model's output {name} has shape {shape} for {num_images} images",
        fix="use a model that accepts any batch size and has one entry per image along the first axis of each "
        "output; task=classify and task=embed need only the output that task.output names",
    )
