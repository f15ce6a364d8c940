"""The recipe of an endpoint: the model, the form that runs, and the engine. Chosen on the driver, without Ray."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.engines.configs import AUTO, default_engine
from actors.errors import JobError
from jobs.runs.bundle_choice import with_form

if TYPE_CHECKING:
    from actors.recipe import Recipe
    from jobs.serving.config import ServeJob

LOG = logging.getLogger("shardlens")


def serving_recipe(job: ServeJob) -> Recipe:
    """The checked recipe; with engine=auto, that of the first engine that reads the form of the model.

    Raises:
        JobError: task, model and engine do not fit together.
    """
    if job.task.tiling:
        raise JobError(
            "task.tile.size: jobs.serve cuts no tiles", fix="leave it at null, or run python -m jobs.batch_infer"
        )
    chosen = with_form(job.job)
    if chosen.engine.name == AUTO:
        chosen = replace(chosen, engine=default_engine(chosen.model))
        LOG.info("engine.name=auto: %s", chosen.engine.name)
    recipe = chosen.recipe
    recipe.check()
    return recipe
