"""The Ray Data chain: shards, read and decode, predict, write. Built and run on the driver."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, cast

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback

from actors.reading.reader import read_piece
from jobs.dataflow.predict_actor import FusedActor, PredictActor, TiledActor, piece_block
from jobs.dataflow.sink import PartSink
from jobs.dataflow.source import ShardSource
from jobs.planning.planner import BATCHES_A_CALL, WRITE_CPUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    from ray.data import Dataset, Datasink
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

    from actors.row_ranges import Piece
    from actors.writing.part_writer import SinkPlan
    from jobs.dataflow.ledger_actor import RemoteLedger
    from jobs.dataflow.source import Read
    from jobs.dataflow.stages import Stages
    from jobs.planning.planner import Plan


class Stage(Protocol):
    """A stage that runs in actors: returns one block per input block, or yields several."""

    def __call__(self, rows: pa.Table, /) -> pa.Table | Iterator[pa.Table]: ...


@dataclass(frozen=True)
class StageCode:
    """Implementation of each pipeline stage. The benchmark replaces some of them."""

    read: Read = read_piece
    """Reads a piece in a read task; a fused predictor reads its own."""
    predictor: type[Stage] = PredictActor
    """Predicts blocks of pixels; constructed from recipe, batch size and ledger."""
    fused_predictor: type[Stage] = FusedActor
    """Reads pieces, made by `piece_block`, and predicts their images; constructed from recipe, read plan and ledger."""
    tiled_predictor: type[Stage] = TiledActor
    """Like fused_predictor, for tasks that cut images into tiles."""
    sink: Callable[[SinkPlan], Datasink[Any]] = PartSink


def run_pipeline(stages: Stages, missing: Sequence[Piece], ledger: RemoteLedger, code: StageCode | None = None) -> None:
    """Predicts the missing rows and writes their parts. Returns when the last part is written."""
    plan, code = stages.plan, code or StageCode()
    pieces = plan.cut(missing)
    num_parts = math.ceil(sum(piece.num_rows for piece in pieces) / plan.rows_per_part)
    writers = max(1, min(plan.writers, math.ceil(num_parts / _PARTS_A_WRITER)))
    callbacks = [_feed_of(ledger), _warm_writers(writers)]
    with DataContext.current(_context(plan, callbacks)):
        _run(stages, pieces, ledger, code, writers)


# A writer takes two CPU seconds to start, and milliseconds for a part.
_PARTS_A_WRITER = 16


def _run(stages: Stages, pieces: Sequence[Piece], ledger: RemoteLedger, code: StageCode, writers: int) -> None:
    predicted = (_fused if stages.plan.is_fused else _apart)(stages, pieces, ledger, code)
    predicted.write_datasink(
        code.sink(replace(stages.sink, observer=ledger)),
        ray_remote_args={"num_cpus": WRITE_CPUS, "max_retries": _WRITE_RETRIES},
        concurrency=writers,
    )


def _fused(stages: Stages, pieces: Sequence[Piece], ledger: RemoteLedger, code: StageCode) -> Dataset:
    """Returns actors that read, decode and predict, for a model that shares the CPUs with decoding."""
    source: Dataset = ray.data.from_blocks([piece_block(piece) for piece in pieces])
    return source.map_batches(
        code.tiled_predictor if stages.read.tile else code.fused_predictor,
        fn_constructor_args=(stages.recipe, stages.read, ledger),
        batch_size=1,  # one piece; actors with a GPU need a number
        batch_format="pyarrow",
        **_actors(stages.plan, len(pieces)),
    )


def _apart(stages: Stages, pieces: Sequence[Piece], ledger: RemoteLedger, code: StageCode) -> Dataset:
    """Returns tasks that read and decode, and actors that predict: a GPU runs while CPUs prepare its next batch."""
    plan = stages.plan
    source: Dataset = ray.data.read_datasource(
        ShardSource(stages.read, pieces, ledger, code.read),
        num_cpus=plan.read_cpus,
        override_num_blocks=len(pieces),  # otherwise Ray Data may split the blocks of a task
        ray_remote_args={"max_retries": _WITHOUT_END},
    )
    return source.map_batches(
        code.predictor,
        fn_constructor_args=(stages.recipe, plan.batch_size, ledger),
        batch_size=plan.batch_size * BATCHES_A_CALL,
        batch_format="pyarrow",
        **_actors(plan, len(pieces)),
    )


def _actors(plan: Plan, num_pieces: int) -> dict[str, Any]:
    return {
        "compute": ActorPoolStrategy(size=min(plan.workers, num_pieces)),
        "num_cpus": plan.worker_cpus,
        "num_gpus": plan.worker_gpus,
        "max_restarts": _WITHOUT_END,
        "max_task_retries": _WITHOUT_END,
    }


# Ray retries indefinitely: the ledger decides when a death while reading or predicting ends the job; the loss of a node
# must not.
_WITHOUT_END = -1

# Retries of a write task, which the ledger, unlike other work, does not track.
_WRITE_RETRIES = 5


def _context(plan: Plan, callbacks: list[type[ExecutionCallback]]) -> DataContext:
    """Returns the Ray Data settings for one pass: a copy, because the process may have its own pipelines."""
    # Only ray_remote_args can bound the retries: Ray 2.60 has no named parameter for them.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated", category=DeprecationWarning)
    # A small run has fewer parts than writers, which Ray Data warns about.
    warnings.filterwarnings(
        "ignore", message="The maximum number of concurrent tasks for 'Write'", category=UserWarning
    )
    # A stop request leaves some actors without a piece.
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors for", category=UserWarning)
    context: Any = DataContext.get_current().copy()
    context.enable_progress_bars = False
    # Keeps the blocks of read tasks, one batch each, as they are: Ray Data splits blocks of more than 1.5 times this
    # target and merges smaller ones.
    if not plan.is_fused:
        context.target_max_block_size = max(1, int(plan.block_bytes * 0.8))
    context.raise_original_map_exception = True  # otherwise a UserCodeException hides the type that the driver handles
    context.custom_execution_callback_classes = callbacks
    context.issue_detectors_config = SimpleNamespace(detectors=[])  # workers would import theirs, 0.1 s of CPU each
    return cast("DataContext", context)


def _feed_of(ledger: RemoteLedger) -> type[ExecutionCallback]:
    """Drops the pieces waiting for a reader when the ledger drains.

    Returning from the task at once is not enough: Ray Data takes 16 ms per task (1,500 tasks of a no-op ``map_batches``
    against 100, on two CPUs), so that the 20,000 pieces of a pass would outlast `run.grace_s` ten times. Smaller passes
    would stop and start the actors, and load the model, more often.
    """

    class Feed(ExecutionCallback):
        def on_execution_step(self, executor: StreamingExecutor) -> None:
            if ledger.is_draining.is_set():
                topology: Any = executor._topology  # noqa: SLF001  there is no other way in
                for operator, state in topology.items():
                    if not operator.input_dependencies:
                        state.output_queue.clear()

    return Feed


def _warm_writers(number: int) -> type[ExecutionCallback]:
    """Returns a callback that starts processes to import the writer while models load; Ray then assigns write tasks to
    them. It runs once the predictors have taken the processes that Ray starts ahead.
    """

    class Warm(ExecutionCallback):
        def before_execution_starts(self, executor: StreamingExecutor) -> None:  # noqa: ARG002
            for _ in range(number):
                ray.remote(num_cpus=0)(import_module).remote(PartSink.__module__)

    return Warm
