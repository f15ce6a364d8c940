"""The chain that Ray Data runs: shards, read and decode, predict, write. Built and driven on the driver."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback

from actors.reader import ReadPlan, ShardSource
from actors.sink import PartSink, SinkPlan
from jobs.planner import WRITE_CPUS
from jobs.predict_actor import PredictActor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.data._internal.execution.streaming_executor import StreamingExecutor

    from actors.engines.configs import EngineConfig
    from actors.models import Model
    from actors.receipts import Piece
    from actors.tasks.base import Task
    from jobs.ledger_actor import RemoteLedger
    from jobs.planner import Plan


@dataclass(frozen=True)
class Recipe:
    """What each actor rebuilds its predictor from."""

    model: Model
    engine: EngineConfig
    task: Task


def run_pipeline(
    read: ReadPlan, recipe: Recipe, sink: SinkPlan, *, missing: Sequence[Piece], plan: Plan, ledger: RemoteLedger
) -> None:
    """Predicts the rows that are missing and writes the parts. Returns when the last part is written."""
    _configure(plan, ledger)
    engine = replace(recipe.engine, threads=recipe.engine.threads or plan.threads)
    (
        ray.data.read_datasource(
            ShardSource(read, missing, ledger),
            num_cpus=plan.read_cpus,
            override_num_blocks=len(missing),
            ray_remote_args={"max_retries": _WITHOUT_END},
        )
        .map_batches(
            PredictActor,
            fn_constructor_args=(replace(recipe, engine=engine), plan.batch_size, ledger),
            batch_size=plan.batch_size,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=plan.workers),
            num_cpus=plan.worker_cpus,
            num_gpus=plan.worker_gpus,
            max_restarts=_WITHOUT_END,
            max_task_retries=_WITHOUT_END,
        )
        .write_datasink(
            PartSink(sink),
            ray_remote_args={"num_cpus": WRITE_CPUS, "max_retries": _WRITE_RETRIES},
            concurrency=plan.writers,
        )
    )


# Deaths while reading and predicting are the ledger's to judge: what a lost node took with it is no cause to give up.
_WITHOUT_END = -1

# Nobody judges those of write tasks.
_WRITE_RETRIES = 5


def _configure(plan: Plan, ledger: RemoteLedger) -> None:
    # Only through ray_remote_args can the retries be bounded: Ray 2.60 has no named parameter for them.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated", category=DeprecationWarning)
    # A small run has fewer parts than writers, which Ray Data takes for a mistake.
    warnings.filterwarnings(
        "ignore", message="The maximum number of concurrent tasks for 'Write'", category=UserWarning
    )
    context: Any = DataContext.get_current()
    context.enable_progress_bars = False
    # A read task gives its blocks as they stand, one batch each: Ray Data cuts where a block is half as large again
    # as this target, and gathers what is smaller.
    context.target_max_block_size = max(1, int(plan.block_bytes * 0.8))
    context.custom_execution_callback_classes = [_feed_of(ledger)]


def _feed_of(ledger: RemoteLedger) -> type[ExecutionCallback]:
    """Drops the read tasks that wait once the ledger drains. They would give nothing, yet take 10 ms and more each."""

    class Feed(ExecutionCallback):
        def on_execution_step(self, executor: StreamingExecutor) -> None:
            if ledger.is_draining.is_set():
                topology: Any = executor._topology  # noqa: SLF001  there is no other way in
                for operator, state in topology.items():
                    if not operator.input_dependencies:
                        state.output_queue.clear()

    return Feed
