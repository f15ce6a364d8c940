"""Runs the pipeline of a job, whole and with stages switched off. Runs on the driver, with Ray started."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.trials.throughput import steady_images_per_s
from actors.writing.summaries import Summary
from jobs.benchmarking.meter import MeteredSink
from jobs.benchmarking.partial_stages import (
    FetchAlone,
    RowsAlone,
    WithoutModel,
    WithoutPixels,
    blank_blocks,
    stamping,
)
from jobs.cli.shutdown import StoppedError
from jobs.cluster.resources import cluster_resources
from jobs.dataflow.pipeline import StageCode, run_pipeline
from jobs.dataflow.progress import follow
from jobs.dataflow.stop_conditions import StopConditions
from jobs.runs.coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.benchmarking.meter import Meter
    from jobs.cli.shutdown import Shutdown
    from jobs.cluster.resources import Resources
    from jobs.dataflow.stages import Stages
    from jobs.planning.planner import Plan
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Variant:
    """One pass of all images through some of the stages."""

    elapsed_s: float
    """Includes the start-up of actors."""
    meter: Meter

    @property
    def steady_images_per_s(self) -> float | None:
        """Rate of the batches that left the last stage."""
        return steady_images_per_s(self.meter.ends)

    def to_json(self) -> dict[str, Any]:
        return {
            "elapsed_s": self.elapsed_s,
            "images_per_s": self.meter.num_images / self.elapsed_s,
            "steady_images_per_s": self.steady_images_per_s,
        }


class Variants:
    """Runs the pipeline of ``run`` once per variant. Disabled stages are absent: no task waits in their place.

    Args:
        run: run whose images are processed.
        stages: stages of the job.
        resources: resources of the cluster.
        stop: shutdown request of the command.
    """

    def __init__(self, run: Run, stages: Stages, resources: Resources, stop: Shutdown) -> None:
        self._run = run
        self._stages = stages
        self._stop = stop
        self.readers = readers(stages.plan, resources)

    def reading(self) -> Variant:
        """Fetches bytes and drops them, with as many processes as in the job."""
        return self._pass("reading", StageCode(fused_predictor=FetchAlone), plan=self.readers)

    def without_model(self) -> Variant:
        """Reads and decodes images, and drops them in the actors; separate read tasks transfer their pixels there."""
        return self._pass("without model", StageCode(fused_predictor=WithoutModel, predictor=WithoutPixels))

    def transfer(self) -> Variant:
        """Sends precomputed blocks through the object store: pixels to actors that drop them or, if actors read their
        own images, predicted rows to writers that drop them.
        """
        code = StageCode(fused_predictor=RowsAlone, predictor=WithoutPixels, read=blank_blocks)
        return self._pass("transfer", code)

    def without_writing(self) -> Variant:
        """Runs all stages except writing."""
        return self._pass("without writing", StageCode())

    def whole(self) -> Variant:
        """Runs all stages, as the job does."""
        return self._pass("whole", StageCode(), writes=True)

    def _pass(self, name: str, code: StageCode, *, plan: Plan | None = None, writes: bool = False) -> Variant:
        stages = replace(self._stages, plan=plan or self._stages.plan)
        sink = MeteredSink(stages.sink, is_off=not writes)
        code = replace(
            code,
            predictor=stamping(code.predictor),
            fused_predictor=stamping(code.fused_predictor),
            # The same sink, whatever its settings, so that its totals are available afterwards.
            sink=lambda _: sink,
        )
        LOG.info("measuring: %s", name)
        since = time.monotonic()
        self._run_pipeline(stages, code)
        variant = Variant(time.monotonic() - since, sink.meter)
        if self._stop.is_asked:  # the pipeline drained, so it has seen only some of the images
            raise StoppedError
        return variant

    def _run_pipeline(self, stages: Stages, code: StageCode) -> None:
        run = self._run
        # With a job's own limits: a hung worker must not leave a benchmark waiting forever.
        watch = StopConditions(run.job, Summary(), self._stop, _is_shrunk(stages.plan))
        with (
            self._stop.draining(),
            follow(
                run.shards.num_rows,
                stall_s=run.job.run.stall_s,
                should_stop=watch,
                progress_s=run.job.run.progress_s,
            ) as ledger,
        ):
            run_pipeline(stages, Coverage(run.shards.sizes).missing(), ledger, code)


def _is_shrunk(plan: Plan) -> Callable[[], bool]:
    return lambda: not plan.fits(cluster_resources())


def readers(plan: Plan, resources: Resources) -> Plan:
    """Plans the workers that read and decode: the actors themselves, or, instead of separate read tasks, as many actors
    as the CPUs left by the predictors allow.
    """
    if plan.is_fused:
        return plan
    workers = plan.num_readers(resources.cpus)
    return replace(plan, is_fused=True, workers=workers, worker_cpus=plan.read_cpus, worker_gpus=0)
