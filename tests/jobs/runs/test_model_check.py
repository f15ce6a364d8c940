"""The check of a small model, cached and reused."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from networks import tiny
from programs import save_first, save_ir, save_pt2, save_script

from actors.engines.configs import AutoEngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.recipe import Recipe
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from jobs.runs.model_check import LoadedModel, ModelFacts, check_model


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    torch.save(tiny(10).state_dict(), tmp_path / "tiny.pt")
    (tmp_path / "labels.txt").write_text("\n".join("abcdefghij"))
    model = Model(
        "networks:tiny",
        checkpoint=str(tmp_path / "tiny.pt"),
        labels=str(tmp_path / "labels.txt"),
        preprocess=Preprocess(resize=40, crop=32),
    )
    return Recipe(model, TorchEngineConfig())


def check(recipe: Recipe) -> tuple[ModelFacts, LoadedModel | None]:
    return check_model(recipe, lambda: None)


def test_a_model_that_was_checked_is_not_loaded_again(recipe: Recipe) -> None:
    begun: list[int] = []
    facts, loaded = check_model(recipe, lambda: begun.append(1))
    assert loaded is not None
    assert loaded.reference_engine is not None
    assert loaded.network is not None
    assert 0 < facts.image_s < 0.1
    assert facts.labels == list("abcdefghij")
    network = weakref.ref(loaded.network)
    loaded.release()
    gc.collect()
    assert (loaded.reference_engine, network()) == (None, None)
    again, loaded = check_model(recipe, lambda: begun.append(2))
    assert (again, loaded, begun) == (facts, None, [1])
    assert all(one.equals(other, check_metadata=True) for one, other in zip(again.fields, facts.fields, strict=True))


def test_an_engine_that_is_no_reference_gives_none(recipe: Recipe) -> None:
    _, loaded = check(replace_engine(recipe, TorchEngineConfig(precision=Precision.bf16)))
    assert loaded is not None
    assert loaded.reference_engine is None
    _, loaded = check(replace_engine(recipe, OpenVinoEngineConfig()))  # the driver loads the reference instead
    assert loaded is not None
    assert loaded.reference_engine is not None


def replace_engine(recipe: Recipe, engine: TorchEngineConfig | OpenVinoEngineConfig) -> Recipe:
    return Recipe(recipe.model, engine, recipe.task, recipe.limits)


def test_whatever_the_facts_rest_on_is_checked_again(recipe: Recipe, tmp_path: Path) -> None:
    check(recipe)
    (tmp_path / "labels.txt").write_text("\n".join("klmnopqrst"))
    assert check(recipe)[0].labels == list("klmnopqrst")
    assert check(Recipe(recipe.model, recipe.engine, Embed()))[0].fields[0].name == "embedding"
    before = check(recipe)[0].weights
    torch.manual_seed(1)
    torch.save(tiny(10).state_dict(), recipe.model.checkpoint)
    facts, loaded = check(recipe)
    assert loaded is not None
    assert facts.weights != before
    Path(recipe.model.checkpoint).write_bytes(b"damaged")
    with pytest.raises(JobError, match=r"tiny\.pt"):
        check(recipe)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"fields": "AAAA"}'])
def test_a_damaged_record_is_replaced(recipe: Recipe, tmp_path: Path, content: str) -> None:
    facts, _ = check(recipe)
    (record,) = (tmp_path / "cache" / "checks").glob("*/facts.json")
    record.write_text(content)
    again, loaded = check(recipe)
    assert loaded is not None
    assert again.weights == facts.weights
    assert check(recipe)[1] is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_costs_time_alone(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    assert check(recipe)[1] is not None
    assert check(recipe)[1] is not None


def test_a_cache_that_others_may_write_to_is_not_trusted(recipe: Recipe, tmp_path: Path) -> None:
    check(recipe)
    (tmp_path / "cache" / "checks").chmod(0o777)
    assert check(recipe)[1] is not None


COMMAND = """
import json, sys
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.recipe import Recipe
from actors.engines.configs import TorchEngineConfig
from jobs.runs.model_check import check_model
model = Model("networks:tiny", checkpoint=sys.argv[1], labels=sys.argv[2], preprocess=Preprocess(resize=40, crop=32))
facts, loaded = check_model(Recipe(model, TorchEngineConfig()), object)
print(json.dumps([facts.weights, loaded is None, "torch" in sys.modules]))
"""


@pytest.mark.slow
def test_the_second_command_imports_no_torch(recipe: Recipe, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", COMMAND, recipe.model.checkpoint, str(tmp_path / "labels.txt")]
    fixtures = Path(__file__).parents[2] / "fixtures"
    environment = os.environ | {"PYTHONPATH": f"{fixtures}{os.pathsep}{fixtures.parents[1]}"}
    found = [
        json.loads(subprocess.run(arguments, env=environment, capture_output=True, check=True, timeout=100).stdout)
        for _ in range(2)
    ]
    weights = found[0][0]
    assert found == [[weights, False, True], [weights, True, False]]


def test_a_model_that_runs_one_image_at_a_time_is_told_each_time(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert check(recipe)[0].one_by_one == ""
    lying = Recipe(save_first(tmp_path / "first.onnx"), task=Raw())
    for is_first in (True, False):
        caplog.clear()
        facts, loaded = check(lying)
        assert (loaded is not None) is is_first
        assert facts.one_by_one == "the model gives a different answer for the same image at another place of a batch"
        assert [record.message for record in caplog.records] == [
            f"{lying.model.where}: {facts.one_by_one}; running one image at a time"
        ]


def test_a_whole_model_is_checked_in_its_own_engine(recipe: Recipe, tmp_path: Path) -> None:
    for model in (
        save_ir(tiny(), tmp_path / "a.xml"),
        save_pt2(tiny(), tmp_path / "a.pt2"),
        save_script(tiny(), tmp_path / "a.torchscript"),
    ):
        facts, loaded = check(Recipe(model, AutoEngineConfig(), recipe.task))
        assert loaded is not None
        assert loaded.reference_engine is not None
        assert facts.weights
        assert check(Recipe(model, AutoEngineConfig(), recipe.task)) == (facts, None)
