from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hub_folders
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from actors.errors import JobError
from actors.models import build_network
from actors.models.sources import model_from
from actors.models.sources.registry import complete
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub import Hub


@pytest.fixture
def photos() -> list[np.ndarray]:
    """Returns smooth pictures, on which resizing methods differ little."""
    random = np.random.default_rng(0)
    small = [Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)) for _ in range(4)]
    return [np.asarray(image.resize(size, Image.Resampling.BICUBIC)) for image, size in zip(small, SIZES, strict=True)]


SIZES = ((80, 60), (60, 80), (64, 64), (100, 70))


def test_importing_it_loads_no_library() -> None:
    code = """
import sys, actors.models.sources
sys.exit(bool({"torch", "timm", "torchvision", "transformers", "huggingface_hub", "yaml"} & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("make", [hub_folders.vit, hub_folders.resnet, hub_folders.convnext])
def test_a_classifier_answers_as_the_pipeline_of_transformers(
    make: Callable[[Path], Any], photos: list[np.ndarray], tmp_path: Path
) -> None:
    make(tmp_path)
    table = Predictor(model_from(str(tmp_path)), task=Classify(top_k=3)).predict(photos)
    pipeline = transformers.pipeline("image-classification", model=str(tmp_path))
    answers = pipeline([Image.fromarray(photo) for photo in photos])
    for row, answer in zip(table.to_pylist(), answers, strict=True):
        assert row["top_labels"] == [entry["label"] for entry in answer]
        assert row["top_scores"] == pytest.approx([entry["score"] for entry in answer], abs=2e-3)


@pytest.mark.parametrize(
    ("make", "output"), [(hub_folders.clip_vision, "image_embeds"), (hub_folders.vit_backbone, "pooler_output")]
)
def test_an_embedding_is_that_of_transformers(
    make: Callable[[Path], Any], output: str, photos: list[np.ndarray], tmp_path: Path
) -> None:
    network = make(tmp_path)
    table = Predictor(model_from(str(tmp_path)), task=Embed()).predict(photos)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor([Image.fromarray(photo) for photo in photos], return_tensors="pt")
    with torch.no_grad():
        wanted = network(**pixels)[output].numpy()
    given = np.array(table["embedding"].to_pylist())
    assert np.abs(given - wanted).max() < 0.02 * np.abs(wanted).max()


def test_the_image_part_of_clip_gives_the_image_features(photos: list[np.ndarray], tmp_path: Path) -> None:
    network = hub_folders.clip(tmp_path)
    embedding = Predictor(model_from(str(tmp_path)), task=Embed()).predict(photos)["embedding"].to_pylist()
    processor = transformers.CLIPImageProcessor.from_pretrained(tmp_path)
    pixels = processor([Image.fromarray(photo) for photo in photos], return_tensors="pt")
    with torch.no_grad():
        wanted = network.visual_projection(network.vision_model(**pixels).pooler_output).numpy()
    assert np.abs(np.array(embedding) - wanted).max() < 0.02 * np.abs(wanted).max()


def test_a_folder_of_timm_gives_the_network_that_wrote_it(tmp_path: Path) -> None:
    network = hub_folders.timm_resnet(tmp_path)
    model = model_from(str(tmp_path))
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(build_network(model)(pixels), network(pixels))
    assert model.labels == ["cat", "dog", "owl"]
    assert model.preprocess.crop == 160


def test_a_pretrained_name_of_timm_is_fetched_from_the_hub_at_its_commit(hub: Hub, tmp_path: Path) -> None:
    network = hub_folders.timm_resnet(tmp_path, num_classes=1000)
    commit = hub.put("timm/test_resnet.r160_in1k", {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()})
    model = model_from("timm:test_resnet.r160_in1k")
    assert model.checkpoint == f"hf://timm/test_resnet.r160_in1k@{commit}/model.safetensors"
    model.check()
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(build_network(model)(pixels), network(pixels))
    assert len(hub.fetched) == 1
    assert len(model.labels) == 1000
    # Without its classifier, as for embeddings.
    headless = model_from("timm:test_resnet.r160_in1k", kwargs={"num_classes": 0})
    assert headless.labels is None
    with torch.no_grad():
        assert torch.equal(
            build_network(headless)(pixels), network.forward_head(network.forward_features(pixels), True)
        )


def test_a_pretrained_name_of_torchvision_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models  # noqa: PLC0415  after torchvision_operators

    network = models.squeezenet1_1().eval()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    model = model_from("torchvision:squeezenet1_1:IMAGENET1K_V1")
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(build_network(model)(pixels), network(pixels))
    assert model.labels[0] == "tench"


def test_each_value_can_be_overridden(vit_folder: Path, tmp_path: Path) -> None:
    source = str(vit_folder)
    model = model_from(source, labels=["a", "b", "c"], preprocess={"mean": [0.1, 0.2, 0.3]}, kwargs={"x": 1})
    assert model.labels == ["a", "b", "c"]
    assert model.preprocess.mean == [0.1, 0.2, 0.3]
    assert model.preprocess.resize == [32, 32]
    assert model.kwargs["x"] == 1
    assert model.kwargs["hidden_size"] == 32
    whole = Preprocess(resize=[48, 48])
    assert model_from(source, preprocess=whole).preprocess == whole
    assert model_from(source, labels=None).labels is None
    other = model_from(source, checkpoint=str(tmp_path / "mine.safetensors"), architecture="transformers:ViTModel")
    assert other.checkpoint == str(tmp_path / "mine.safetensors")
    assert other.architecture == "transformers:ViTModel"


def test_a_source_that_is_silent_about_pre_processing_is_refused(vit_folder: Path, tmp_path: Path) -> None:
    for path in vit_folder.glob("[cm]*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(JobError, match=r"does not say how images are pre-processed\n.*model\.preprocess\.crop"):
        model_from(str(tmp_path))
    keys = {"resize": [32, 32], "crop": None, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert model_from(str(tmp_path), preprocess=keys).preprocess.resize == [32, 32]


def test_pre_processing_that_no_key_expresses_must_be_given(vit_folder: Path, tmp_path: Path) -> None:
    for path in vit_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "FlavaImageProcessor"}')
    with pytest.raises(JobError, match=r"model\.source=.*Flava.*\n  fix: set model\.preprocess\.resize, .*std$"):
        model_from(str(tmp_path))
    keys = {"resize": [32, 32], "crop": None, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert model_from(str(tmp_path), preprocess=keys).preprocess.resize == [32, 32]


def test_a_folder_of_timm_for_imagenet_has_its_labels(tmp_path: Path) -> None:
    hub_folders.timm_resnet(tmp_path, num_classes=1000)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["label_names"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_from(str(tmp_path)).labels[0].startswith("tench")


def test_without_a_source_the_library_tells_the_pre_processing() -> None:
    clip = complete({"architecture": "timm:vit_base_patch32_clip_224.openai", "checkpoint": "mine.pt"})
    assert clip.preprocess.mean == pytest.approx([0.48145466, 0.4578275, 0.40821073])
    mine = {"architecture": "timm:vit_base_patch32_clip_224.openai", "preprocess": {"mean": [0.5, 0.5, 0.5]}}
    assert complete(mine).preprocess.mean == [0.5, 0.5, 0.5]
    assert complete({"architecture": "torchvision:resnet50"}).preprocess == Preprocess()
    assert complete({"architecture": "networks:tiny"}).preprocess == Preprocess()


def test_inception_converts_the_normalisation_of_its_weights_alone() -> None:
    inception: dict[str, Any] = {"architecture": "torchvision:inception_v3", "checkpoint": "mine.pth"}
    model = complete(inception)
    assert model.kwargs == {"transform_input": True}
    assert (model.preprocess.resize, model.preprocess.crop) == (342, 299)
    assert complete({**inception, "kwargs": {"transform_input": False}}).kwargs == {"transform_input": False}
    halves = {"mean": [0.5] * 3, "std": [0.5] * 3}  # the result of the conversion
    assert complete({**inception, "preprocess": halves}).kwargs == {}


def test_all_keys_given_need_no_library() -> None:
    code = """
import sys
from actors.models.sources.registry import complete
from actors.preprocess import Preprocess
complete({"architecture": "timm:resnet50", "checkpoint": "x.pt", "preprocess": Preprocess()})
keys = {"resize": 256, "crop": 224, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}
complete({"architecture": "timm:resnet50", "checkpoint": "x.pt", "preprocess": keys})
sys.exit("timm" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_relative_folder_becomes_absolute(vit_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(vit_folder.parent)
    model = model_from(vit_folder.name)
    assert model.source == str(vit_folder)
    assert Path(model.checkpoint).is_absolute()
    json.dumps(model.kwargs)


def test_a_repository_in_several_files_loads_all_of_them(hub: Hub, tmp_path: Path) -> None:
    network = hub_folders.vit(tmp_path, max_shard_size="20kB")
    commit = hub.put_folder("me/vit", tmp_path)
    model = model_from("hf:me/vit")
    assert model.checkpoint == f"hf://me/vit@{commit}/model.safetensors.index.json"
    model.check()
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(build_network(model)(pixels)["logits"], network(pixels).logits)
