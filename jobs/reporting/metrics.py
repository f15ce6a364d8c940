"""The counts of a run as metrics of Ray, which gives them to Prometheus on the metrics page of the driver's node. Runs
on the driver alone, where the ledger's counts come together: work that is done again counts once, as in the ledger.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from ray.util.metrics import Counter, Gauge

from actors.tracking import metric_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.tracking.metric_counts import Flow
    from actors.writing.summaries import Summary
    from jobs.planning.planner import Plan
    from jobs.reporting.moment import Moment
    from jobs.runs.commit import Outcome
    from jobs.runs.opening import Run


class Meaning(NamedTuple):
    """What a metric says. Its labels stand beside those that all have, `LABELS`, and take few values."""

    text: str
    labels: tuple[str, ...] = ()


LABELS = ("run", "model")
"""The run's id, and the fingerprint of its model."""

COUNTERS = {
    metric_counts.IMAGES_DONE: Meaning("Images that were predicted."),
    metric_counts.IMAGES_FAILED: Meaning(
        "Images that became an error row, by the stage and the kind of error.", ("stage", "kind")
    ),
    metric_counts.BLOCKS: Meaning("Blocks of images that were predicted, each of one batch or several."),
    metric_counts.BYTES_READ: Meaning("Bytes of encoded images that were read."),
    metric_counts.STAGE_SECONDS: Meaning("Seconds that workers spent in a stage, summed over them.", ("stage",)),
    metric_counts.PARTS: Meaning("Part files that were written."),
    metric_counts.WRITTEN_BYTES: Meaning("Bytes of part files that were written."),
    metric_counts.WORKER_DEATHS: Meaning("Workers that died with work in hand, by the stage of the work.", ("stage",)),
    metric_counts.QUARANTINED: Meaning("Images given up because workers died with them alone in hand.", ("stage",)),
}

GAUGES = {
    "images_listed": Meaning("Images of the run, or of the slice that the driver has of it."),
    "images_done_before": Meaning("Those of them that had an outcome before this driver came."),
    "images_left": Meaning("Those of them that have no outcome yet."),
    "images_per_second": Meaning("Images that get their outcome a second, since the first did; 0 until it is known."),
    "errors_ratio": Meaning("Share of failed images among those with an outcome, from 0 to 1."),
    "errors_ratio_limit": Meaning("The share above which the run ends early: errors.max_ratio."),
    "batch_size": Meaning("Images that the engine gets at a time."),
    "workers": Meaning("Predictor actors that the run was planned with."),
    "progress_timestamp_seconds": Meaning("Unix time at which a block of images last ended; at first, of the start."),
}


def names() -> set[str]:
    """Every metric as Prometheus sees it."""
    return {f"ray_{_name(name)}_total" for name in COUNTERS} | {f"ray_{_name(name)}" for name in GAUGES}


class Metrics:
    """What one pass of the pipeline adds to the run's metrics.

    Args:
        run: its id.
        model: fingerprint.
        num_errors_before: images that had failed when the pass began.
        facts: gauges that stay as they are, by their names in `GAUGES`.
    """

    def __init__(self, run: str, model: str, *, num_errors_before: int, facts: Mapping[str, float]) -> None:
        tags = {"run": run, "model": model}
        self._counters = {
            name: Counter(_name(name), said.text, (*LABELS, *said.labels)).set_default_tags(tags)
            for name, said in COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(_name(name), said.text, LABELS).set_default_tags(tags) for name, said in GAUGES.items()
        }
        self._num_errors_before = num_errors_before
        self._seen: Flow = {}
        self._state = {**dict.fromkeys(GAUGES, 0.0), **facts, "progress_timestamp_seconds": time.time()}

    @classmethod
    def of(cls, run: Run, plan: Plan, outcome: Outcome, *, done_before: Summary) -> Metrics:
        """Of a pass over ``run``, or a slice of it: what stands when it begins, and stood when this driver came."""
        facts = {
            "images_listed": outcome.coverage.num_listed,
            "images_done_before": done_before.num_images,
            "errors_ratio_limit": run.job.errors.max_ratio,
            "batch_size": plan.batch_size,
            "workers": plan.workers,
        }
        return cls(run.paths.run_id, run.paths.fingerprint, num_errors_before=outcome.summary.num_errors, facts=facts)

    def record(self, counts: Flow, moment: Moment) -> None:
        """The counts of the pass so far, none of which ever falls, and the state that they make."""
        for key, value in counts.items():
            gained = value - self._seen.get(key, 0)
            if gained > 0:
                name, *values = key
                self._counters[name].inc(gained, dict(zip(COUNTERS[name].labels, values, strict=True)))
        if counts.get((metric_counts.BLOCKS,)) != self._seen.get((metric_counts.BLOCKS,)):
            self._state["progress_timestamp_seconds"] = time.time()
        self._seen = counts
        num_errors = self._num_errors_before + moment.num_errors
        self._state |= {
            "images_left": moment.total - moment.num_done,
            "images_per_second": moment.images_per_s,
            "errors_ratio": num_errors / moment.num_done if moment.num_done else 0.0,
        }
        for name, value in self._state.items():  # all of them: Ray forgets a gauge that is not set again
            self._gauges[name].set(value)


def _name(name: str) -> str:
    return f"shardlens_{name}"
