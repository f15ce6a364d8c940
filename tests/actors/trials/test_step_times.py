from __future__ import annotations

from digit_images import DIGITS, encoded

from actors.engines.configs import OnnxEngineConfig
from actors.recipe import Recipe
from actors.tasks.embed import Embed
from actors.trials.step_times import time_steps


def test_each_step_has_its_own_time_per_image() -> None:
    recipe = Recipe(DIGITS, OnnxEngineConfig(threads=1))
    images = [b"no image", *encoded()[:5]]
    times = time_steps(recipe, images, 8, timed_s=0.01)
    assert times is not None
    assert times.batch_size == 8
    assert min(times.preprocess_ms, times.inference_ms, times.postprocess_ms) > 0
    assert list(times.to_json()) == ["batch_size", "preprocess_ms", "inference_ms", "postprocess_ms"]
    other = time_steps(Recipe(DIGITS, recipe.engine, Embed()), images, 8, timed_s=0.01)
    assert other is not None
    assert other.postprocess_ms > 0


def test_there_may_be_nothing_to_time() -> None:
    assert time_steps(Recipe(DIGITS, OnnxEngineConfig(threads=1)), [b"no image"], 8) is None
