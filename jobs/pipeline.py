"""The chain that Ray Data runs: shards, read and decode, predict, write. Built and driven on the driver."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from actors.columns import STAGE
from actors.engines.base import describe
from actors.predictor import Predictor
from actors.reader import ReadPlan, ShardSource
from actors.sink import PartSink, SinkPlan

if TYPE_CHECKING:
    import pyarrow as pa

    from actors.engines.base import EngineConfig
    from actors.models import Model
    from actors.tasks.base import Task
    from jobs.planner import Plan


@dataclass(frozen=True)
class Recipe:
    """What each actor rebuilds its predictor from."""

    model: Model
    engine: EngineConfig
    task: Task


def run_pipeline(read: ReadPlan, recipe: Recipe, sink: SinkPlan, *, num_shards: int, plan: Plan, tally: Any) -> None:
    """Predicts every row of the inventory and writes the parts. Returns when the last part is written."""
    _configure(plan)
    engine = replace(recipe.engine, threads=recipe.engine.threads or plan.threads)
    (
        ray.data.read_datasource(
            ShardSource(read, num_shards),
            num_cpus=plan.read_cpus,
            override_num_blocks=num_shards,
            ray_remote_args={"max_retries": _RETRIES},
        )
        .map_batches(
            PredictActor,
            fn_constructor_args=(replace(recipe, engine=engine), tally),
            batch_size=plan.batch_size,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=plan.workers),
            num_cpus=plan.worker_cpus,
            num_gpus=plan.worker_gpus,
            max_restarts=_RETRIES,
            max_task_retries=_RETRIES,
        )
        .write_datasink(PartSink(sink), ray_remote_args={"num_cpus": _WRITE_CPUS, "max_retries": _RETRIES})
    )


class PredictActor:
    """Holds one predictor for the life of an actor, and tells the tally of each batch."""

    def __init__(self, recipe: Recipe, tally: Any) -> None:
        self._predictor = Predictor(recipe.model, engine=recipe.engine, task=recipe.task)
        self._tally = tally
        tally.started.remote(describe(self._predictor.engine))

    def __call__(self, block: pa.Table) -> pa.Table:
        predicted = self._predictor.predict_block(block)
        num_errors = len(predicted) - predicted[STAGE].null_count
        self._tally.add.remote(len(predicted) - num_errors, num_errors)
        return predicted


# Writing waits for storage and hardly computes; a whole CPU for it could starve the readers of a small machine.
_WRITE_CPUS = 0.01

# Deaths of a worker at the same piece of work before the job fails; by default Ray Data would try for ever.
_RETRIES = 3


def _configure(plan: Plan) -> None:
    # Only through ray_remote_args can the retries be bounded: Ray 2.60 has no named parameter for them.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated", category=DeprecationWarning)
    context: Any = DataContext.get_current()
    context.enable_progress_bars = False
    # A read task gives its blocks as they stand, one batch each: Ray Data cuts where a block is half as large again
    # as this target, and gathers what is smaller.
    context.target_max_block_size = max(1, int(plan.block_bytes * 0.8))
