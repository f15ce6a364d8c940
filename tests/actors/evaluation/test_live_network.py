from __future__ import annotations

import pytest
import torch
from training import MODEL, trained

from actors.evaluation.live_network import live_network, live_recipe


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_the_copy_is_clean_and_its_own() -> None:
    network = torch.nn.ModuleDict({"_orig_mod": torch.nn.ModuleDict({"module": trained()})})
    clean = live_network(live_recipe(MODEL).model, network)
    assert type(clean).__name__ == "Net"
    assert not clean.training
    assert not any(value.requires_grad for value in clean.parameters())
    own = trained().state_dict()
    assert all(torch.equal(value, own[name]) for name, value in clean.state_dict().items())
    assert not {value.data_ptr() for value in clean.parameters()} & {value.data_ptr() for value in network.parameters()}
