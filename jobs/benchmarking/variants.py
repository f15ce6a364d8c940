"""The pipeline of a job, whole and with parts of it switched off. Driven on the driver, with Ray started."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from actors.trials.throughput import steady_images_per_s
from actors.writing.summaries import Summary
from jobs.benchmarking.meter import MeteredSink
from jobs.benchmarking.partial_stages import (
    AllApart,
    AllFused,
    BlankSource,
    FetchAlone,
    ModelAlone,
    PixelsDropped,
    RowsAlone,
    WithoutModel,
)
from jobs.cli.shutdown import StoppedError
from jobs.cluster.resources import cluster_resources
from jobs.dataflow.pipeline import StageClasses, run_pipeline
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
    """With the start of its actors."""
    meter: Meter

    @property
    def steady_images_per_s(self) -> float | None:
        """Of the batches that its last stage was done with."""
        return steady_images_per_s(self.meter.ends)

    def to_json(self) -> dict[str, Any]:
        return {
            "elapsed_s": self.elapsed_s,
            "images_per_s": self.meter.num_images / self.elapsed_s,
            "steady_images_per_s": self.steady_images_per_s,
        }


class Variants:
    """Runs the pipeline of ``run`` again and again. What is switched off is not there: no task waits in its place.

    Args:
        run: its images go through.
        stages: as the job would have them.
        resources: of the cluster.
        stop: of the command.
    """

    def __init__(self, run: Run, stages: Stages, resources: Resources, stop: Shutdown) -> None:
        self._run = run
        self._stages = stages
        self._stop = stop
        self.readers = readers(stages.plan, resources)

    def reading(self) -> Variant:
        """Bytes fetched and dropped, by as many processes as read in the job."""
        return self._pass("reading", StageClasses(fused=FetchAlone), plan=self.readers)

    def without_model(self) -> Variant:
        """Images read, decoded and dropped: in the actors, which pixels have to come to where the plan is so."""
        return self._pass("without model", StageClasses(fused=WithoutModel, apart=PixelsDropped))

    def model(self) -> Variant:
        """The predictors alone, all at once, on pixels that they have."""
        return self._pass("model", StageClasses(fused=ModelAlone), plan=replace(self._stages.plan, is_fused=True))

    def transfer(self) -> Variant:
        """What goes through the object store, ready before: pixels to actors that drop them, or, where actors read on
        their own, predicted rows to writers that drop them.
        """
        return self._pass("transfer", StageClasses(fused=RowsAlone, apart=PixelsDropped, source=BlankSource))

    def without_writing(self) -> Variant:
        """All but the writing."""
        return self._pass("without writing", StageClasses(fused=AllFused, apart=AllApart))

    def whole(self) -> Variant:
        """The job itself."""
        return self._pass("whole", StageClasses(fused=AllFused, apart=AllApart), writes=True)

    def _pass(self, name: str, crew: StageClasses, *, plan: Plan | None = None, writes: bool = False) -> Variant:
        stages = replace(self._stages, plan=plan or self._stages.plan)
        sink = MeteredSink(stages.sink, is_off=not writes)
        LOG.info("measuring: %s", name)
        since = time.monotonic()
        self._run_pipeline(stages, replace(crew, sink=lambda _: sink))
        variant = Variant(time.monotonic() - since, sink.meter)
        if self._stop.is_asked:
            raise StoppedError
        return variant

    def _run_pipeline(self, stages: Stages, crew: StageClasses) -> None:
        run = self._run
        watch = StopConditions(run.job, Summary(), self._stop, _is_shrunk(stages.plan))
        with (
            self._stop.draining(),
            follow(run.shards.num_rows, stall_s=run.job.run.stall_s, should_stop=watch) as ledger,
        ):
            run_pipeline(stages, Coverage(run.shards.sizes).missing(), ledger, crew)


def _is_shrunk(plan: Plan) -> Callable[[], bool]:
    return lambda: not plan.fits(cluster_resources())


def readers(plan: Plan, resources: Resources) -> Plan:
    """The plan of the workers that read and decode: where that is done in tasks beside the predictors, actors in their
    place, as many as there is room for.
    """
    if plan.is_fused:
        return plan
    workers = plan.num_readers(resources.cpus)
    return replace(plan, is_fused=True, workers=workers, worker_cpus=plan.read_cpus, worker_gpus=0)
