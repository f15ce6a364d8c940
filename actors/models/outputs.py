"""The tensors that a network returns, by name. Used where PyTorch runs a network, and where it exports one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from actors.errors import JobError


def named(returned: Any) -> dict[str, torch.Tensor]:
    """A tensor is named ``output``; those of a tuple or list ``output_0`` and on, by place; those of a dictionary keep
    their names. What is no tensor is left out.

    Raises:
        JobError: there is none.
    """
    if isinstance(returned, torch.Tensor):
        return {"output": returned}
    if isinstance(returned, Mapping):
        by_name = {str(name): value for name, value in returned.items()}
    elif isinstance(returned, tuple | list):
        by_name = {f"output_{place}": value for place, value in enumerate(returned)}
    else:
        by_name = {}
    tensors = {name: value for name, value in by_name.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise JobError(
            f"the network returns a {type(returned).__name__} without tensors",
            cure="name an architecture that returns a tensor, or a tuple, list or dictionary of tensors",
        )
    return tensors
