"""Networks rebuilt from architecture and checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from actors.errors import JobError
from actors.models.network import build_network
from actors.models.spec import Model

if TYPE_CHECKING:
    pass


def test_the_network_is_ready_to_predict(model: Model) -> None:
    network = build_network(model)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    saved = torch.load(model.checkpoint)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())


def test_anything_but_a_network_is_refused(model: Model) -> None:
    with pytest.raises(JobError, match=r"model\.architecture=builtins:dict: returns a dict, not a torch\.nn\.Module"):
        build_network(replace(model, architecture="builtins:dict"))


def test_arguments_that_the_checkpoint_does_not_fit_are_reported(model: Model) -> None:
    with pytest.raises(JobError, match=r"fc\.weight is \(10, 16\) in the checkpoint, \(7, 16\) in the network"):
        build_network(replace(model, kwargs={"num_classes": 7}))
