"""Defaults, checks and pickling of a recipe."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from actors.decoding.config import Decode, DecodeDevice
from actors.engines.configs import AutoEngineConfig, OnnxEngineConfig, OpenVinoEngineConfig, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.recipe import Recipe
from actors.sample.train import FOLDER, PREPROCESS
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.tile import Tile
from actors.tasks.embed import Embed

if TYPE_CHECKING:
    from actors.engines.configs import EngineConfig

DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)


def test_a_recipe_survives_pickle() -> None:
    recipe = Recipe(Model("package:Net", checkpoint="net.pt"), TorchEngineConfig(threads=2), Embed())
    assert pickle.loads(pickle.dumps(recipe)) == recipe  # noqa: S301  our own bytes


@pytest.mark.parametrize(("checkpoint", "engine"), [("net.pt", TorchEngineConfig()), ("net.onnx", OnnxEngineConfig())])
def test_defaults_depend_on_the_form_of_the_model(checkpoint: str, engine: EngineConfig) -> None:
    recipe = Recipe(Model(checkpoint=checkpoint))
    assert (recipe.engine, recipe.task, recipe.limits) == (engine, Classify(), Decode())


def test_a_recipe_changes_by_replacement_alone() -> None:
    recipe = Recipe(DIGITS, task=Embed())
    with pytest.raises(FrozenInstanceError):
        recipe.task = Classify()  # type: ignore[misc]  # the point of the test
    changed = replace(recipe, engine=OpenVinoEngineConfig())
    assert (changed.engine.name, changed.task, changed.model) == ("openvino", Embed(), DIGITS)


def test_a_recipe_without_a_checkpoint_names_the_key() -> None:
    with pytest.raises(JobError, match=r"model\.checkpoint is not given\n.*set model\.checkpoint"):
        Recipe(Model("package:Net"))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(DIGITS, limits=Decode(max_pixels=0)), r"decode\.max_pixels=0"),
        (Recipe(replace(DIGITS, checkpoint="no/such.pt")), r"no/such\.pt: no such file"),
        (Recipe(DIGITS, TorchEngineConfig(threads=0)), r"engine\.threads=0"),
        (Recipe(replace(DIGITS, architecture=None)), r"model\.architecture is not given"),
    ],
)
def test_each_part_is_checked(recipe: Recipe, message: str) -> None:
    with pytest.raises(JobError, match=message):
        recipe.check()


def test_a_sound_recipe_passes_without_torch() -> None:
    Recipe(DIGITS, AutoEngineConfig()).check()
    code = f"""
import sys
from actors.models.spec import Model
from actors.recipe import Recipe
Recipe(Model("actors.sample.network:Net", checkpoint={DIGITS.checkpoint!r})).check()
print(*{{"torch", "onnx", "onnxruntime", "openvino", "ray"}} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_agreement_follows_task_and_tolerance() -> None:
    outputs = {"output": np.array([[4.0, 1.0], [1.0, 3.0]], np.float32)}
    nearly = {"output": outputs["output"] * 1.02}
    assert Recipe(DIGITS).agree(outputs, nearly).breaches == []
    assert Recipe(DIGITS, TorchEngineConfig(tolerance="exact")).agree(outputs, nearly).breaches


def test_tiles_are_not_decoded_by_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.decoding.config.has_nvimgcodec", lambda: True)
    gpu = Decode(device=DecodeDevice.gpu)
    Recipe(DIGITS, task=Detect(), limits=gpu).check()
    with pytest.raises(JobError, match=r"decode\.device=gpu with task\.tile\.size"):
        Recipe(DIGITS, task=Detect(tile=Tile(640)), limits=gpu).check()
