"""Names the tensors that a network returns. Used where PyTorch runs a network, and where it exports one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from actors.errors import JobError
from actors.models.detections import MOST_DETECTIONS, is_detections, padded


def named(returned: Any) -> dict[str, torch.Tensor]:
    """Returns the tensors by name: ``output`` for a single tensor, ``output_0`` and so on for a tuple or list. Tensors
    in a dictionary keep their names, as do detections, a list with a dictionary per image, which are `padded` to
    `MOST_DETECTIONS`, without masks, as each would be as large as the image. Omits everything else.

    Raises:
        JobError: nothing returned is a tensor.
    """
    if isinstance(returned, torch.Tensor):
        return {"output": returned}
    if isinstance(returned, list) and returned and all(map(is_detections, returned)):
        kept = [{name: value for name, value in found.items() if name != "masks"} for found in returned]
        return padded(kept, MOST_DETECTIONS)
    if isinstance(returned, Mapping):  # also a ModelOutput of transformers, which is an OrderedDict
        by_name = {str(name): value for name, value in returned.items()}
    elif isinstance(returned, tuple | list):
        by_name = {f"output_{place}": value for place, value in enumerate(returned)}
    else:
        by_name = {}
    tensors = {name: value for name, value in by_name.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise JobError(
            f"the network returns a {type(returned).__name__} without tensors",
            fix="name an architecture that returns a tensor, or a tuple, list or dictionary of tensors",
        )
    return tensors
