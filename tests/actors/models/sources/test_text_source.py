from __future__ import annotations

from typing import TYPE_CHECKING

import hub_folders
import pytest

from actors.errors import JobError
from actors.models.sources.base import Source
from actors.models.sources.text_source import read_text_source

if TYPE_CHECKING:
    from pathlib import Path

    from hub import Hub


def test_the_folder_of_a_whole_model(tmp_path: Path) -> None:
    hub_folders.zero_shot_clip(tmp_path)
    source = read_text_source(Source(str(tmp_path)))
    assert source.model.architecture == "transformers:CLIPModel"
    assert source.model.checkpoint == f"{tmp_path}/model.safetensors"
    assert source.model.kwargs["text_config"]["hidden_size"] == 32
    assert source.tokenizer["tokenizer.json"] == (tmp_path / "tokenizer.json").read_bytes()


def test_a_model_without_texts(tmp_path: Path) -> None:
    hub_folders.vit(tmp_path)
    with pytest.raises(JobError, match="is of a ViTForImageClassification, which has no text part"):
        read_text_source(Source(str(tmp_path)))


def test_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    hub_folders.clip(tmp_path)
    with pytest.raises(JobError, match="holds no tokenizer"):
        read_text_source(Source(str(tmp_path)))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no such folder"):
        read_text_source(Source(str(tmp_path / "none")))


def test_a_repository_is_read_at_the_commit_of_its_revision(hub: Hub, tmp_path: Path) -> None:
    hub_folders.zero_shot_siglip(tmp_path)
    commit = hub.put_folder("me/siglip", tmp_path)
    source = read_text_source(Source("hf:me/siglip"))
    assert source.model.checkpoint == f"hf://me/siglip@{commit}/model.safetensors"
    assert source.tokenizer["tokenizer.json"] == (tmp_path / "tokenizer.json").read_bytes()
