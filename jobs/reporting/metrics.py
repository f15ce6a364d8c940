"""Counts of a run as Ray metrics, which Ray exports to Prometheus on the metrics page of the driver's node. Runs on the
driver, from the ledger's counts, in which retried work counts once.
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
    """Description of a metric, and its labels in addition to `LABELS`; each label has few values."""

    text: str
    labels: tuple[str, ...] = ()


# Prometheus keeps one series per combination of labels: image or shard names would make them grow without bound.
LABELS = ("run", "model")
"""Labels of every metric: the run's id, and the fingerprint of its model."""

COUNTERS = {
    metric_counts.IMAGES_DONE: Meaning("Images predicted."),
    metric_counts.IMAGES_FAILED: Meaning(
        "Images that became an error row, by stage and kind of error.", ("stage", "kind")
    ),
    metric_counts.BLOCKS: Meaning("Blocks of images predicted, each of one or more batches."),
    metric_counts.BYTES_READ: Meaning("Bytes of encoded images read."),
    metric_counts.STAGE_SECONDS: Meaning("Seconds that workers spent in a stage, summed over workers.", ("stage",)),
    metric_counts.PARTS: Meaning("Part files written."),
    metric_counts.WRITTEN_BYTES: Meaning("Bytes of part files written."),
    metric_counts.WORKER_DEATHS: Meaning("Workers that died while processing, by stage of the work.", ("stage",)),
    metric_counts.QUARANTINED: Meaning("Images abandoned because workers died while processing only them.", ("stage",)),
}

GAUGES = {
    "images_listed": Meaning("Images of the run, or of this driver's slice of it."),
    "images_done_before": Meaning("Listed images that had an outcome before this driver started."),
    "images_left": Meaning("Listed images without an outcome so far."),
    "images_per_second": Meaning("Images per second since the first batch ended; 0 until it is known."),
    "errors_ratio": Meaning("Share of failed images among images with an outcome, from 0 to 1."),
    "errors_ratio_limit": Meaning("Share of failed images above which the run ends early: errors.max_ratio."),
    "batch_size": Meaning("Images per batch of the engine."),
    "workers": Meaning("Planned number of predictor actors."),
    "progress_timestamp_seconds": Meaning("Unix time at which the latest block of images ended; at first, the start."),
}


def names() -> set[str]:
    """Returns the Prometheus names of all metrics."""
    # Ray adds both the prefix and, for counters, the suffix.
    return {f"ray_{_name(name)}_total" for name in COUNTERS} | {f"ray_{_name(name)}" for name in GAUGES}


class Metrics:
    """Publishes the metrics of one pass of the pipeline.

    Args:
        run: id of the run.
        model: fingerprint of the model.
        num_errors_before: number of images that had failed when the pass began.
        facts: values of gauges that stay constant, by name in `GAUGES`.
    """

    def __init__(self, run: str, model: str, *, num_errors_before: int, facts: Mapping[str, float]) -> None:
        tags = {"run": run, "model": model}
        self._counters = {
            name: Counter(_name(name), meaning.text, (*LABELS, *meaning.labels)).set_default_tags(tags)
            for name, meaning in COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(_name(name), meaning.text, LABELS).set_default_tags(tags) for name, meaning in GAUGES.items()
        }
        self._num_errors_before = num_errors_before
        self._seen: Flow = {}  # the ledger reports totals, Ray's counters accept increments
        self._state = {**dict.fromkeys(GAUGES, 0.0), **facts, "progress_timestamp_seconds": time.time()}

    @classmethod
    def of(cls, run: Run, plan: Plan, outcome: Outcome, *, done_before: Summary) -> Metrics:
        """Creates the metrics of a pass over ``run`` or a slice of it.

        Args:
            run: the run.
            plan: plan of the pass.
            outcome: state of the run at the start of the pass.
            done_before: summary of the run when this driver started.
        """
        facts = {
            "images_listed": outcome.coverage.num_listed,
            "images_done_before": done_before.num_images,
            "errors_ratio_limit": run.job.errors.max_ratio,
            "batch_size": plan.batch_size,
            "workers": plan.workers,
        }
        return cls(run.paths.run_id, run.paths.fingerprint, num_errors_before=outcome.summary.num_errors, facts=facts)

    def record(self, counts: Flow, moment: Moment) -> None:
        """Publishes the pass's ``counts`` so far, which never decrease, and its progress at ``moment``."""
        for key, value in counts.items():
            gained = value - self._seen.get(key, 0)
            if gained > 0:  # Ray 2.60 raises for an increment of 0
                name, *values = key
                self._counters[name].inc(gained, dict(zip(COUNTERS[name].labels, values, strict=True)))
        # A time, not an age: an alert compares it with the current time, and works even if the driver is stuck.
        if counts.get((metric_counts.BLOCKS,)) != self._seen.get((metric_counts.BLOCKS,)):
            self._state["progress_timestamp_seconds"] = time.time()
        self._seen = counts
        num_errors = self._num_errors_before + moment.num_errors
        self._state |= {
            "images_left": moment.total - moment.num_done,
            "images_per_second": moment.images_per_s,
            "errors_ratio": num_errors / moment.num_done if moment.num_done else 0.0,
        }
        for name, value in self._state.items():  # set them all: Ray drops a gauge that is not set again
            self._gauges[name].set(value)


def _name(name: str) -> str:
    return f"shardlens_{name}"
