from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import hub_folders
import pytest

from actors.errors import JobError
from actors.models.sources.base import Source
from actors.models.sources.folder_source import FolderSource

if TYPE_CHECKING:
    from pathlib import Path

    from hub import Hub
    from places import Place

LABELS = ["cat", "dog", "owl"]


def read(source: object, **options: str) -> object:
    return FolderSource().read(Source(str(source), options))


def test_a_folder_of_transformers_says_all(vit_folder: Path) -> None:
    record = read(vit_folder)
    assert record.architecture == "transformers:ViTForImageClassification"
    assert record.checkpoint == f"{vit_folder}/model.safetensors"
    assert record.labels == LABELS
    assert record.preprocess["resize"] == [32, 32]
    assert record.preprocess["mean"] == [0.5, 0.5, 0.5]
    assert record.kwargs["hidden_size"] == 32
    assert record.kwargs["num_labels"] == 3
    assert "id2label" not in record.kwargs


def test_a_folder_of_timm_says_all(timm_folder: Path) -> None:
    record = read(timm_folder)
    assert record.architecture == "timm:test_resnet"
    assert record.checkpoint == f"{timm_folder}/model.safetensors"
    assert record.labels == LABELS
    assert record.kwargs == {"num_classes": 3, "in_chans": 3, "global_pool": "avg"}
    assert record.preprocess["crop"] == 160
    assert record.preprocess["interpolation"] == "bilinear"


def test_a_detector_has_labels_and_a_size_that_holds_every_picture(tmp_path: Path) -> None:
    hub_folders.detr(tmp_path)
    record = read(tmp_path)
    assert record.architecture == "transformers:DetrForObjectDetection"
    assert record.labels == LABELS
    preprocess = record.preprocess
    assert (preprocess["resize"], preprocess["resize_limit"], preprocess["crop"]) == (32, 64, 64)


def test_old_configs_of_timm_are_the_record_itself(timm_folder: Path, tmp_path: Path) -> None:
    config = json.loads((timm_folder / "config.json").read_text())
    old = {**config["pretrained_cfg"], "architecture": "test_resnet", "labels": LABELS, "num_classes": 3}
    (tmp_path / "config.json").write_text(json.dumps(old))
    (tmp_path / "pytorch_model.bin").touch()
    record = read(tmp_path)
    assert (record.architecture, record.labels, record.kwargs) == ("timm:test_resnet", LABELS, {"num_classes": 3})
    assert record.checkpoint.endswith("pytorch_model.bin")


def test_weights_in_several_files_are_named_by_their_index(tmp_path: Path) -> None:
    hub_folders.vit(tmp_path, max_shard_size="20kB")
    assert read(tmp_path).checkpoint == f"{tmp_path}/model.safetensors.index.json"


def test_the_image_part_of_clip_is_taken(tmp_path: Path) -> None:
    hub_folders.clip(tmp_path)
    record = read(tmp_path)
    assert record.architecture == "transformers:CLIPVisionModelWithProjection"
    assert record.labels is None
    assert record.preprocess["mean"] == pytest.approx([0.48145466, 0.4578275, 0.40821073])


def test_a_processor_beside_a_tokenizer_is_found(vit_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(vit_folder, tmp_path / "model")
    processor = (tmp_path / "model" / "preprocessor_config.json").rename(tmp_path / "own.json")
    assert read(tmp_path / "model").preprocess is None
    both = {"image_processor": json.loads(processor.read_text()), "processor_class": "CLIPProcessor"}
    (tmp_path / "model" / "processor_config.json").write_text(json.dumps(both))
    assert read(tmp_path / "model").preprocess == read(vit_folder).preprocess


def test_a_folder_lies_in_any_store(vit_folder: Path, place: Place) -> None:
    for path in vit_folder.iterdir():
        uri = place.put(f"models/vit/{path.name}", path.read_bytes())
    folder = uri.rpartition("/")[0]
    record = read(folder, **place.options)
    assert record.checkpoint == f"{folder}/model.safetensors"
    assert record.labels == LABELS


def test_a_repository_is_read_at_one_commit(hub: Hub, vit_folder: Path) -> None:
    commit = hub.put_folder("me/vit", vit_folder)
    record = read("hf:me/vit")
    assert record.checkpoint == f"hf://me/vit@{commit}/model.safetensors"
    assert record.preprocess == read(vit_folder).preprocess
    hub.put("me/vit", {"config.json": b"{}"})
    assert read(f"hf:me/vit@{commit}").checkpoint == record.checkpoint
    with pytest.raises(JobError, match=r"model\.source=hf:me/vit: holds none of model\.safetensors"):
        read("hf:me/vit")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"other": ""}, r"holds no config\.json\n.*timm:NAME"),
        ({"config.json": "["}, r"config\.json is not a JSON object"),
        ({"config.json": "[1]"}, r"config\.json is not a JSON object"),
        ({"config.json": "{}"}, r"holds none of model\.safetensors"),
    ],
)
def test_a_folder_without_a_model_is_reported(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(JobError, match=message) as caught:
        read(tmp_path)
    assert f"model.source={tmp_path}" in str(caught.value)


def test_a_folder_that_is_not_there_and_a_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="nowhere: no such folder"):
        read(tmp_path / "nowhere")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(JobError, match=r"model\.onnx: is a file\n.*model\.checkpoint"):
        read(tmp_path / "model.onnx")


def test_a_bundle_in_a_repository_is_not_taken_for_a_plain_folder(hub: Hub, vit_folder: Path) -> None:
    hub.put("me/vit", {**{path.name: path.read_bytes() for path in vit_folder.iterdir()}, "bundle.json": b"{}"})
    with pytest.raises(
        JobError, match=r"model\.source=hf:me/vit@main: .* bundle of shardlens(?s:.*)hf download me/vit"
    ):
        FolderSource().read(Source("hf:me/vit@main"))


def test_a_config_names_no_code_on_a_hub(vit_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(vit_folder, tmp_path / "model")
    config = json.loads((vit_folder / "config.json").read_text())
    code = {"attn_implementation": "me/kernel", "_attn_implementation": "me/kernel", "auto_map": {"AutoModel": "x.Y"}}
    nested = {**config, **code, "vision_config": {**code, "depth": 3}}
    (tmp_path / "model" / "config.json").write_text(json.dumps(nested))
    record = read(tmp_path / "model")
    assert record.kwargs == {**read(vit_folder).kwargs, "vision_config": {"depth": 3}}


def test_a_config_of_timm_names_no_other_weights(timm_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(timm_folder, tmp_path / "model")
    config = json.loads((timm_folder / "config.json").read_text())
    config["model_args"] |= {"pretrained": True, "checkpoint_path": "other.pt"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    assert read(tmp_path / "model") == replace(read(timm_folder), checkpoint=f"{tmp_path}/model/model.safetensors")


def test_labels_that_leave_numbers_out_are_none(vit_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(vit_folder, tmp_path / "model")
    config = json.loads((vit_folder / "config.json").read_text())
    for id2label in ({"0": "cat", "2": "dog"}, {"cat": "0"}, None):
        (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "id2label": id2label}))
        assert read(tmp_path / "model").labels is None
