from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import hub_folders
import pytest
import torch
from safetensors.torch import save_file

from actors.models.checkpoints import MisfitError
from actors.models.network_building import build
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = torch.randn(2, 3, 64, 64)


@pytest.fixture
def timm_model(tmp_path: Path) -> tuple[Model, torch.nn.Module]:
    network = hub_folders.timm_resnet(tmp_path, num_classes=1000)
    return Model("timm:test_resnet", checkpoint=str(tmp_path / "model.safetensors")), network


def test_weights_that_fit_are_loaded_by_name(model: Model) -> None:
    network = build(model)
    assert torch.equal(network.state_dict()["fc.bias"], torch.load(model.checkpoint)["fc.bias"])


def test_timm_leaves_the_classifier_out(timm_model: tuple[Model, torch.nn.Module]) -> None:
    model, network = timm_model
    headless = build(replace(model, kwargs={"num_classes": 0})).eval()
    with torch.no_grad():
        features = headless(PIXELS)
        assert torch.allclose(network.get_classifier()(features), network(PIXELS), atol=1e-5)
    assert "state_dict" not in headless.pretrained_cfg


def test_timm_adapts_weights_of_colour_images_to_grey_ones(timm_model: tuple[Model, torch.nn.Module]) -> None:
    model, network = timm_model
    grey = build(replace(model, kwargs={"in_chans": 1})).eval()
    one = PIXELS[:, :1]
    with torch.no_grad():
        assert torch.allclose(grey(one), network(one.expand(-1, 3, -1, -1)), atol=1e-4)


def test_a_classifier_of_another_size_is_never_a_random_one(timm_model: tuple[Model, torch.nn.Module]) -> None:
    model, _ = timm_model
    with pytest.raises(MisfitError, match="wrong shape: fc"):
        build(replace(model, kwargs={"num_classes": 7}))


def test_weights_that_timm_cannot_convert_are_reported_as_they_are(
    timm_model: tuple[Model, torch.nn.Module], tmp_path: Path
) -> None:
    model, network = timm_model
    weights = {
        name: value for name, value in network.state_dict().items() if "layer4" not in name and "stages.3" not in name
    }
    lost = sorted(set(network.state_dict()) - set(weights)) or ["fc.weight"]
    weights = {name: value for name, value in network.state_dict().items() if name not in lost}
    save_file(weights, tmp_path / "part.safetensors")
    for kwargs in ({}, {"num_classes": 0}):
        with pytest.raises(MisfitError, match="does not fit the network"):
            build(replace(model, checkpoint=str(tmp_path / "part.safetensors"), kwargs=kwargs))
