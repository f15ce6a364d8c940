from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torchvision_operators  # noqa: F401  timm imports torchvision

from actors.exporting.hub_configs import hub_configs, processor_config
from actors.exporting.torch_export import save_weights
from actors.models.architectures import construct
from actors.models.sources.preprocess_records import from_timm, from_transformers
from actors.models.spec import Model
from actors.preprocess import Preprocess

LABELS = ["cat", "dog", "bird"]


def test_timm_opens_the_folder_as_its_own(tmp_path: Path) -> None:
    import timm  # noqa: PLC0415  takes a second

    preprocess = Preprocess(resize=40, crop=36, interpolation="bicubic", mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    model = Model("timm:resnet10t", {"num_classes": 3, "in_chans": 3}, "x.safetensors", preprocess=preprocess)
    network = construct(str(model.architecture), model.kwargs).eval()
    for name, content in hub_configs(model, network, LABELS).items():
        (tmp_path / name).write_text(json.dumps(content))
    save_weights(network, tmp_path / "model.safetensors", "fp32")
    opened = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    pixels = torch.randn(2, 3, 36, 36)
    with torch.no_grad():
        torch.testing.assert_close(opened(pixels), network(pixels))
    data = timm.data.resolve_model_data_config(opened)
    assert (data["input_size"], data["interpolation"], data["crop_pct"]) == ((3, 36, 36), "bicubic", 0.9)
    assert (data["mean"], data["std"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])


def test_transformers_opens_the_folder_as_its_own(tmp_path: Path) -> None:
    import transformers  # noqa: PLC0415  takes seconds

    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=3, layer_type="basic"
    )
    network = transformers.ResNetForImageClassification(config).eval()
    model = Model(
        "transformers:ResNetForImageClassification", {}, "x.safetensors", preprocess=Preprocess(resize=40, crop=36)
    )
    for name, content in hub_configs(model, network, LABELS).items():
        (tmp_path / name).write_text(json.dumps(content))
    save_weights(network, tmp_path / "model.safetensors", "fp32")
    opened = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    pixels = torch.randn(2, 3, 36, 36)
    with torch.no_grad():
        torch.testing.assert_close(opened(pixels).logits, network(pixels).logits)
    assert opened.config.id2label == dict(enumerate(LABELS))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert dict(processor.crop_size) == {"height": 36, "width": 36}
    assert processor.size["shortest_edge"] == 40


@pytest.mark.parametrize(
    ("preprocess", "size"),
    [
        (Preprocess(resize=[8, 9], crop=None), {"height": 8, "width": 9}),
        (Preprocess(resize=256), {"shortest_edge": 256}),
    ],
)
def test_the_size_as_an_image_processor_gives_it(preprocess: Preprocess, size: dict[str, int]) -> None:
    assert (processor_config(preprocess) or {})["size"] == size


def test_the_project_reads_what_it_wrote() -> None:
    preprocess = Preprocess(resize=40, crop=36, interpolation="lanczos", mean=[0.1, 0.2, 0.3], crop_offset="floor")
    content = processor_config(preprocess)
    assert content is not None
    assert Preprocess(**from_transformers(content)) == preprocess
    model = Model("timm:resnet10t", {"num_classes": 3}, "x.safetensors", preprocess=Preprocess(40, crop=36))
    cfg = hub_configs(model, torch.nn.Identity(), None)["config.json"]["pretrained_cfg"]
    assert Preprocess(**from_timm(cfg)) == model.preprocess


def test_steps_without_a_word_there_leave_the_file_out() -> None:
    assert processor_config(Preprocess(resize_mode="longest_side")) is None
    assert processor_config(Preprocess(channel_order="bgr")) is None
    model = Model("timm:resnet10t", checkpoint="x.safetensors", preprocess=Preprocess(40, "longest_side", crop=36))
    files = hub_configs(model, torch.nn.Identity(), None)
    assert list(files) == ["config.json"]
    assert files["config.json"]["pretrained_cfg"]["crop_mode"] == "border"


def test_other_architectures_have_no_name_there() -> None:
    assert hub_configs(Model("actors.sample.network:Net", checkpoint="x.pt"), torch.nn.Identity(), None) == {}
    assert hub_configs(Model(checkpoint="x.onnx"), None, None) == {}
