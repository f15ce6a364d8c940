"""The recipe of an endpoint: model, model form and engine. Created on the driver, without Ray."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.engines.configs import AUTO
from actors.errors import JobError
from jobs.runs.bundle_choice import with_form
from jobs.serving.engine_choice import choose_engine, for_any_size, tried

if TYPE_CHECKING:
    from actors.recipe import Recipe
    from jobs.serving.config import ServeJob

LOG = logging.getLogger("shardlens")


def serving_recipe(job: ServeJob, *, is_here: bool) -> Recipe:
    """Returns the recipe, tried before anything listens and with answers that match the reference.

    Args:
        job: the config.
        is_here: True if the replicas run on this machine.

    Raises:
        JobError: task, model and engine do not fit together, an engine other than the reference does not match it, or
            the answers for the golden images of a bundle differ.
    """
    if job.task.tiling:
        raise JobError(
            "task.tile.size: jobs.serve cuts no tiles", fix="leave it at null, or run python -m jobs.batch_infer"
        )
    job.job.recipe.check()
    chosen = with_form(job.job)
    if chosen.engine.name == AUTO:
        found = choose_engine(chosen, job.serve, is_here=is_here)
        LOG.info("engine %s: %s", found.engine.label, found.why)
        return replace(chosen, engine=found.engine).recipe
    recipe = replace(chosen, engine=for_any_size(chosen.engine)).recipe
    recipe.check()
    tried(recipe)
    return recipe
