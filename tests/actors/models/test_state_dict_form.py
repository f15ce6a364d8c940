"""A state_dict requires an architecture, and has a network but no .onnx file of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from networks import tiny

from actors.errors import JobError
from actors.models.forms import form_of
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path


def test_its_network_is_ready_to_predict(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"))
    form = form_of(model)
    network = form.network(model)
    assert network is not None
    assert not network.training
    assert not any(weights.requires_grad for weights in network.parameters())
    assert form.digest(model, network) == form.digest(model)
    assert form.graph_file(model) is None


def test_it_consists_of_its_shards(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "2.safetensors", "b": "1.safetensors"}}))
    model = Model(checkpoint=str(index))
    files = [str(index), str(tmp_path / "1.safetensors"), str(tmp_path / "2.safetensors")]
    assert form_of(model).files(model) == files
    whole = Model(checkpoint="a.pt")
    assert form_of(whole).files(whole) == ["a.pt"]


@pytest.mark.parametrize(
    ("architecture", "message"), [(None, r"model\.architecture is not given"), ("tiny", "names no module")]
)
def test_it_needs_an_architecture(architecture: str | None, message: str) -> None:
    model = Model(architecture, checkpoint="a.pt")
    with pytest.raises(JobError, match=message):
        form_of(model).check_keys(model)
