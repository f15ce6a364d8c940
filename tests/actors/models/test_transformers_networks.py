from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import hub_folders
import pytest
import torch

from actors.errors import JobError
from actors.models.transformers_networks import VisionNetwork, load_transformers

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = torch.randn(2, 3, 32, 32)
CONFIG = {**hub_folders.VIT, "num_labels": 3}


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return hub_folders.vit(tmp_path_factory.mktemp("vit"))


def load(name: str, kwargs: dict[str, Any], weights: dict[str, Any]) -> VisionNetwork:
    return load_transformers(f"transformers:{name}", kwargs, weights, "w.safetensors").eval()


def test_outputs_are_tensors_by_name(vit: Any) -> None:
    network = load("ViTForImageClassification", CONFIG, vit.state_dict())
    outputs = network(PIXELS)
    assert set(outputs) == {"logits"}
    assert torch.equal(outputs["logits"], vit(PIXELS).logits)


def test_a_network_without_a_vector_gives_its_class_token(vit: Any) -> None:
    weights = {name: value for name, value in vit.state_dict().items() if not name.startswith("classifier")}
    network = load("ViTModel", {**CONFIG, "add_pooling_layer": False}, weights)
    outputs = network(PIXELS)
    assert torch.equal(outputs["pooled"], outputs["last_hidden_state"][:, 0])
    assert torch.equal(outputs["last_hidden_state"], vit.vit(PIXELS).last_hidden_state)


@pytest.mark.parametrize("kind", ["rt_detr", "yolos"])
def test_a_detector_gives_classes_and_boxes_alone(kind: str, tmp_path: Path) -> None:
    detector = getattr(hub_folders, kind)(tmp_path)
    network = load(type(detector).__name__, detector.config.to_dict(), detector.state_dict())
    pixels_nchw = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        outputs, expected = network(pixels_nchw), detector(pixel_values=pixels_nchw)
    assert outputs.keys() == {"logits", "pred_boxes"}
    assert all(torch.equal(outputs[name], expected[name]) for name in outputs)


def test_a_backbone_of_timm_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = hub_folders.detr(tmp_path)
    config = {**detector.config.to_dict(), "backbone_config": None, "backbone": "resnet18", "use_timm_backbone": True}
    monkeypatch.setattr("transformers.utils.import_utils.is_timm_available", lambda: False)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(JobError, match="timm") as raised:
        load("DetrForObjectDetection", config, detector.state_dict())
    assert "shardlens[timm]" in raised.value.fix


@pytest.mark.parametrize("shape", [(2, 8, 4, 4), (2, 16, 8)])
def test_without_a_class_token_the_mean_of_all_places_is_given(shape: tuple[int, ...]) -> None:
    class Hidden(torch.nn.Module):
        def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"last_hidden_state": torch.arange(pixel_values.new_zeros(shape).numel()).reshape(shape) * 1.0}

    outputs = VisionNetwork(Hidden())(PIXELS)
    assert outputs["pooled"].shape == (2, 8)
    axes = (2, 3) if len(shape) == 4 else 1
    assert torch.equal(outputs["pooled"], outputs["last_hidden_state"].mean(dim=axes))


def test_a_model_of_several_parts_gives_the_one_that_is_named(tmp_path: Path) -> None:
    clip = hub_folders.clip(tmp_path)
    network = load("CLIPVisionModelWithProjection", clip.config.to_dict(), clip.state_dict())
    wanted = clip.visual_projection(clip.vision_model(pixel_values=PIXELS).pooler_output)
    assert torch.allclose(network(PIXELS)["image_embeds"], wanted, atol=1e-6)


def test_half_precision_weights_compute_in_fp32(vit: Any) -> None:
    half = {name: value.half() for name, value in vit.state_dict().items()}
    network = load("ViTForImageClassification", {**CONFIG, "dtype": "float16"}, half)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("ViTForImageClasification", {}, r"there is no ViTForImageClasification in it\n.*ViTForImageClassification"),
        ("ViTConfig", {}, "is not a network with a config"),
        ("pipeline", {}, "is not a network with a config"),
        ("ViTModel", CONFIG, r"does not fit the network\. missing: .*pooler.*; unexpected: classifier\.bias"),
        ("ViTForImageClassification", {**CONFIG, "num_labels": 7}, r"wrong shape: classifier\.bias"),
        (
            "ViTForImageClassification",
            {**CONFIG, "num_hidden_layers": "x"},
            "ViTForImageClassification with the weights",
        ),
    ],
)
def test_what_does_not_fit_is_reported(vit: Any, name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        load(name, kwargs, vit.state_dict())


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(JobError, match=r"pip install 'shardlens\[transformers\]'"):
        load("ViTModel", {}, {})


def test_nothing_is_printed_while_it_loads(vit: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JobError):
        load("ViTModel", CONFIG, vit.state_dict())
    load("ViTForImageClassification", CONFIG, vit.state_dict())
    assert capfd.readouterr() == ("", "")


def test_inner_layers_have_names_of_their_own(vit: Any, tmp_path: Path) -> None:
    network = load("ViTForImageClassification", {**CONFIG, "output_hidden_states": True}, vit.state_dict())
    wanted = vit(PIXELS, output_hidden_states=True).hidden_states
    outputs = network(PIXELS)
    assert set(outputs) == {"logits", "hidden_states_0", "hidden_states_1", "hidden_states_2"}
    assert all(torch.equal(outputs[f"hidden_states_{number}"], layer) for number, layer in enumerate(wanted))
    clip = hub_folders.clip(tmp_path)
    whole = {**clip.config.to_dict(), "output_hidden_states": True}
    assert "hidden_states_2" in load("CLIPVisionModelWithProjection", whole, clip.state_dict())(PIXELS)


@pytest.mark.parametrize("make", [hub_folders.zero_shot_clip, hub_folders.zero_shot_siglip, hub_folders.vit])
def test_weights_of_a_network_that_was_loaded_load_again(make: Any, tmp_path: Path) -> None:
    whole = make(tmp_path)
    part = {"CLIPModel": "CLIPVisionModelWithProjection", "SiglipModel": "SiglipVisionModel"}
    name = part.get(type(whole).__name__, type(whole).__name__)
    first = load(name, whole.config.to_dict(), whole.state_dict())
    again = load(name, whole.config.to_dict(), first.state_dict())
    assert all(torch.equal(wanted, again(PIXELS)[key]) for key, wanted in first(PIXELS).items())
