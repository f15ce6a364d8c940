from __future__ import annotations

import logging

import pytest

from actors.errors import JobError
from jobs.config import compose_serving
from jobs.serving.recipe import serving_recipe


def test_the_log_says_which_engine_and_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shardlens"):
        recipe = serving_recipe(compose_serving(["model=digits", "engine=auto"]), is_here=False)
    assert recipe.engine.name == "torch"
    assert "engine torch fp32: the reference, since replicas may run on other hardware" in caplog.text


def test_openvino_takes_batches_of_any_size_and_has_the_answers_of_the_reference() -> None:
    recipe = serving_recipe(compose_serving(["model=digits", "engine=openvino"]), is_here=True)
    assert recipe.engine.dynamic  # type: ignore[attr-defined]
    strict = ["model=digits", "engine=openvino", "engine.tolerance={score_difference: 0}"]
    with pytest.raises(JobError, match="openvino auto: differs from torch fp32"):
        serving_recipe(compose_serving(strict), is_here=True)


def test_tiles_are_refused() -> None:
    job = compose_serving(["model=digits", "task=detect", "task.tile.size=64"])
    with pytest.raises(JobError, match=r"task\.tile\.size"):
        serving_recipe(job, is_here=True)
