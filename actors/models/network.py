"""Rebuilds a network from its architecture and checkpoint. Runs on the driver and once in each worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.architectures import construct

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


def build_network(model: Model) -> torch.nn.Module:
    """The network with its weights, on the CPU, in evaluation mode, without gradients.

    Raises:
        JobError: the architecture cannot be imported or built, or the checkpoint cannot be read or does not fit.
    """
    from actors.models import checkpoints  # noqa: PLC0415  torch takes seconds to import

    model.check_form()
    network = construct(str(model.architecture), model.kwargs)
    checkpoints.load(network, model)
    return network.eval().requires_grad_(requires_grad=False)  # type: ignore[no-any-return]  # `load` saw what it is
