"""Rebuilds the PyTorch network of a model. Runs on the driver and once in each worker that needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.forms import form_of

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


def build_network(model: Model) -> torch.nn.Module:
    """Returns the network with its weights, on the CPU, in evaluation mode, without gradients.

    Raises:
        JobError: the architecture cannot be imported or built, the checkpoint cannot be read or does not fit, or the
            form of the model has no PyTorch network.
    """
    model.check_form()
    form = form_of(model)
    network = form.network(model)
    if network is None:
        raise JobError(
            f"{model.where}: holds no PyTorch network",
            fix=f"choose engine={form.engines[0]}, or give a state_dict and its model.architecture",
        )
    return network
