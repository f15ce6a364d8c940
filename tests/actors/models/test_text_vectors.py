from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hub_folders
import numpy as np
import pytest
import torch
import transformers

from actors.errors import JobError
from actors.models.sources.base import Source
from actors.models.sources.text_source import read_text_source
from actors.models.text_vectors import embed_texts

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["a photo of a cat .", "dog", "the red owl in the snow"]
MAKERS = {"clip": hub_folders.zero_shot_clip, "siglip": hub_folders.zero_shot_siglip}


@pytest.fixture(params=list(MAKERS), scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    MAKERS[request.param](path)
    return path


def features(folder: Path, texts: list[str]) -> np.ndarray:
    """Returns unit-length vectors computed by transformers."""
    kind = transformers.AutoModel.from_pretrained(folder)
    padding: dict[str, Any] = {"padding": True}
    if isinstance(kind, transformers.SiglipModel):
        padding = {"padding": "max_length", "max_length": 16}
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **padding)
    with torch.inference_mode():
        vectors = kind.get_text_features(tokens["input_ids"], tokens["attention_mask"]).pooler_output
    return torch.nn.functional.normalize(vectors, dim=1).numpy()


def test_vectors_and_scale_are_those_of_transformers(folder: Path) -> None:
    head = embed_texts(read_text_source(Source(str(folder))), [[text] for text in TEXTS])
    np.testing.assert_allclose(head.vectors, features(folder, TEXTS), atol=1e-6)
    network = transformers.AutoModel.from_pretrained(folder)
    assert head.scale == pytest.approx(network.logit_scale.exp().item())
    assert head.is_sigmoid == isinstance(network, transformers.SiglipModel)
    assert head.bias == (network.logit_bias.item() if head.is_sigmoid else 0)


def test_several_texts_of_a_class_are_averaged(folder: Path) -> None:
    head = embed_texts(read_text_source(Source(str(folder))), [TEXTS[:2], TEXTS[2:]])
    vectors = features(folder, TEXTS)
    mean = vectors[:2].mean(axis=0)
    np.testing.assert_allclose(head.vectors, [mean / np.linalg.norm(mean), vectors[2]], atol=1e-6)


def test_the_digest_depends_on_texts_and_weights_alone(folder: Path) -> None:
    source = read_text_source(Source(str(folder)))
    first, again, other = (embed_texts(source, [[text]]).digest for text in ("a cat", "a cat", "a dog"))
    assert first == again != other


def test_a_text_that_is_too_long(folder: Path) -> None:
    with pytest.raises(JobError, match=r"task.prompts: .* has 42 tokens, and the model reads (16|24)"):
        embed_texts(read_text_source(Source(str(folder))), [["cat"], ["a " * 40]])


def test_a_tokenizer_that_cannot_be_read_or_brings_code(folder: Path) -> None:
    source = read_text_source(Source(str(folder)))
    damaged = replace(source, tokenizer={"tokenizer.json": b"{"})
    with pytest.raises(JobError, match="its tokenizer cannot be loaded"):
        embed_texts(damaged, [["cat"]])
    named = b'{"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["tokenizing.Own", null]}}'
    with pytest.raises(JobError, match="its tokenizer cannot be loaded"):
        embed_texts(replace(source, tokenizer={"tokenizer_config.json": named}), [["cat"]])
