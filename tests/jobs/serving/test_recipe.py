from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.config import compose_serving
from jobs.serving.recipe import serving_recipe


def test_auto_is_an_engine_that_reads_the_model() -> None:
    assert serving_recipe(compose_serving(["model=digits"])).engine.name != "auto"


def test_tiles_are_refused() -> None:
    job = compose_serving(["model=digits", "task=detect", "task.tile.size=64"])
    with pytest.raises(JobError, match=r"task\.tile\.size"):
        serving_recipe(job)
