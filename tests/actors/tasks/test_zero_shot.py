from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hub_folders
import numpy as np
import pytest
import torch
import transformers

from actors.engines.configs import OnnxEngineConfig
from actors.engines.tolerance import EXACT, Tolerance
from actors.errors import JobError
from actors.models.sources.registry import model_from
from actors.predictor import Predictor
from actors.tasks.base import Outputs
from actors.tasks.zero_shot import ZeroShot

if TYPE_CHECKING:
    from actors.models.spec import Model

LABELS = ["cat", "dog", "red owl"]
COLOURS = np.array([[220, 20, 20], [10, 200, 40], [30, 30, 230], [240, 240, 240]], np.uint8)
IMAGES = [np.tile(colour, (32, 32, 1)) // np.uint8(place + 1) for place, colour in enumerate(COLOURS)]
MAKERS = {"clip": hub_folders.zero_shot_clip, "siglip": hub_folders.zero_shot_siglip}


@pytest.fixture(params=list(MAKERS), scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    MAKERS[request.param](path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))


def scores_of_transformers(folder: Path, texts: list[str]) -> np.ndarray:
    """Returns scores (n, texts) of transformers' own model, tokenizer and image processor."""
    network = transformers.AutoModel.from_pretrained(folder)
    is_siglip = isinstance(network, transformers.SiglipModel)
    padding: dict[str, Any] = {"padding": "max_length", "max_length": 16} if is_siglip else {"padding": True}
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **padding)
    processor_class = transformers.SiglipImageProcessor if is_siglip else transformers.CLIPImageProcessor
    pixels = processor_class.from_pretrained(folder)(IMAGES, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = network(tokens["input_ids"], pixels, tokens["attention_mask"]).logits_per_image
    return (logits.sigmoid() if is_siglip else logits.softmax(1)).numpy()


def model(folder: Path) -> Model:
    return model_from(str(folder))


def scores(predictor: Predictor) -> np.ndarray:
    table = predictor.predict(IMAGES)
    assert table["error"].null_count == len(IMAGES)
    found = np.empty((len(IMAGES), len(LABELS)), np.float32)
    for row, ids, top in zip(found, table["top_label_ids"].to_pylist(), table["top_scores"].to_pylist(), strict=True):
        row[ids] = top
    assert table["label"].to_pylist() == [LABELS[place] for place in found.argmax(axis=1)]
    return found


def test_scores_are_those_of_transformers(folder: Path) -> None:
    wanted = scores_of_transformers(folder, [f"a photo of a {label}." for label in LABELS])
    assert np.ptp(wanted, axis=0).max() > 0.01
    found = scores(Predictor(model(folder), task=ZeroShot(prompts=LABELS)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_exported_graph_of_the_image_part_gives_the_same(folder: Path) -> None:
    wanted = scores(Predictor(model(folder), task=ZeroShot(prompts=LABELS)))
    found = scores(Predictor(model(folder), engine=OnnxEngineConfig(), task=ZeroShot(prompts=LABELS)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_texts_are_embedded_once_and_travel_with_the_task(folder: Path, tmp_path: Path) -> None:
    task = ZeroShot(prompts={"cat": ["a cat", "a kitten"], "dog": "a dog", "red owl": "owl"}, text_source=str(folder))
    task.prepare(model(folder))
    there = pickle.loads(pickle.dumps(task))  # noqa: S301  our own
    there.text_source = str(tmp_path / "missing")
    image_part = model(folder)
    image_part.source = ""
    predictor = Predictor(image_part, task=there)
    assert predictor.labels == ["cat", "dog", "red owl"]
    assert scores(predictor).shape == (4, 3)
    assert there.identity() == task.identity()


def test_vectors_that_are_kept_on_the_node_need_no_torch(folder: Path) -> None:
    ZeroShot(prompts=LABELS).prepare(model(folder))
    code = (
        "import sys\nfrom actors.models.sources.registry import model_from\n"
        "from actors.tasks.zero_shot import ZeroShot\n"
        f"task = ZeroShot(prompts={LABELS}); task.prepare(model_from({str(folder)!r}))\n"
        "assert task.identity()['text'] and not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_the_identity_follows_texts_and_not_their_source(folder: Path) -> None:
    def identity(**keys: Any) -> dict[str, Any]:
        task = ZeroShot(**keys)
        task.prepare(model(folder))
        return task.identity()

    same = identity(prompts=["cat", "dog"])
    texts = {"cat": "a photo of a cat.", "dog": "a photo of a dog."}
    assert same == identity(prompts=texts, text_source=str(folder))
    assert same != identity(prompts=["cat", "owl"])
    assert same != identity(prompts=["cat", "dog"], templates=["the {}"])
    assert same != identity(prompts=["cat", "dog"], top_k=1)


def test_a_threshold_with_siglip_alone(folder: Path) -> None:
    task = ZeroShot(prompts=LABELS, threshold=0.5)
    if "siglip" not in folder.name:
        with pytest.raises(JobError, match="those of a softmax"):
            Predictor(model(folder), task=task)
        return
    table = Predictor(model(folder), task=task).predict(IMAGES)
    wanted = scores_of_transformers(folder, [f"a photo of a {label}." for label in LABELS])
    for labels, row in zip(table["labels"].to_pylist(), wanted, strict=True):
        assert labels == [LABELS[place] for place in np.argsort(-row) if row[place] >= 0.5]


def test_models_that_do_not_fit_the_prompts(folder: Path, tmp_path: Path) -> None:
    hub_folders.vit(tmp_path / "vit")
    other = model(folder)
    other.source = ""
    with pytest.raises(JobError, match=r"neither model.source nor task.text_source"):
        Predictor(other, task=ZeroShot(prompts=LABELS))
    with pytest.raises(JobError, match=r"logits has 3 values, and the vectors of the prompts have"):
        Predictor(model(tmp_path / "vit"), task=ZeroShot(prompts=LABELS, text_source=str(folder)))
    with pytest.raises(JobError, match=r"task.prompts is not given"):
        Predictor(model(folder), task=ZeroShot())
    with pytest.raises(JobError, match=r"task.top_k=0"):
        ZeroShot(prompts=LABELS, top_k=0).fields(Outputs.of({"output": np.zeros((2, 4), np.float32)}), None)


def test_agreement_is_about_scores_and_without_texts_about_vectors(folder: Path) -> None:
    task = ZeroShot(prompts=LABELS)
    rng = np.random.default_rng(1)
    task.prepare(model(folder))
    assert task._head is not None
    images = rng.normal(size=(8, task._head.vectors.shape[1])).astype(np.float32)
    same, other = {"pooled": images}, {"pooled": images[::-1]}
    assert task.agreement(same, {"pooled": 3 * images}, Tolerance()).breaches == []
    assert any("the best class" in breach for breach in task.agreement(same, other, EXACT).breaches)
    alone = ZeroShot(prompts=LABELS)
    assert alone.agreement(same, same, EXACT).breaches == []
    assert any("cosine" in breach for breach in alone.agreement(same, other, Tolerance()).breaches)
