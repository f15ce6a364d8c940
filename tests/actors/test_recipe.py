"""A recipe goes to workers by pickle."""

from __future__ import annotations

import pickle

from actors.engines.configs import TorchEngineConfig
from actors.models.spec import Model
from actors.recipe import Recipe
from actors.tasks.embed import Embed


def test_a_recipe_survives_pickle() -> None:
    recipe = Recipe(Model("package:Net", checkpoint="net.pt"), TorchEngineConfig(threads=2), Embed())
    assert pickle.loads(pickle.dumps(recipe)) == recipe  # noqa: S301  our own bytes
