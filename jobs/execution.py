"""An opened run on a cluster, from the start of Ray to the last part. Runs on the driver; its import brings Ray in."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ray.exceptions import RayError, RayTaskError, UserCodeException

from actors.errors import JobError, OutputError
from actors.tally import Pace
from jobs.cluster import cluster_resources, connect
from jobs.commit import IncompleteRunError, collect
from jobs.pipeline import run_pipeline
from jobs.preparation import prepare_stages
from jobs.progress import follow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from actors.ledger import View
    from actors.summaries import Summary
    from jobs.choices import Choice
    from jobs.commit import Outcome
    from jobs.config import Job
    from jobs.lease import Lease
    from jobs.pipeline import Stages
    from jobs.planner import Plan
    from jobs.report import Clock
    from jobs.runs import Run
    from jobs.stopping import Stop

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Execution:
    """What was run."""

    plan: Plan
    choice: Choice
    """The engine, and how it was chosen."""
    engine: Mapping[str, str]
    """What executed the model, as the actors said."""
    pace: Pace
    """How fast images came, starts aside."""
    cpus: float
    """Of the cluster."""

    def to_json(self) -> dict[str, Any]:
        pace = {**self.pace._asdict(), "images_per_s": self.pace.images_per_s}
        about = {"plan": asdict(self.plan), "choice": self.choice.to_json(), "engine": dict(self.engine)}
        return {**about, "pace": pace, "cpus": self.cpus}


def execute(run: Run, outcome: Outcome, lease: Lease, stop: Stop, clock: Clock) -> tuple[Outcome, Execution]:
    """Predicts the images that ``outcome`` lacks and writes their parts, until none is missing, the job is told to
    stop, or its errors are too many; laps ``start``, ``choose``, ``run`` and ``stop``.

    Where nothing moves any more, as when a node is lost that nothing replaces, all begins anew on what there is.

    Raises:
        WorkerError: a worker failed for good. What was written stays.
        IncompleteRunError: workers left as many images without an outcome as before.
        SilenceError: nothing moved, and beginning anew did not help.
    """
    while True:
        num_missing = outcome.coverage.num_missing
        try:
            return _session(run, outcome, lease, stop, clock)
        except SilenceError as error:
            outcome = collect(run.paths, run.storage, run.shards.sizes, before=outcome)
            if outcome.coverage.num_missing == num_missing and not error.is_shrunk:
                raise
            LOG.warning("%s; beginning anew with the %s images that are missing", error, outcome.coverage.num_missing)


class SilenceError(Exception):
    """For so long no worker gave a sign of life. ``is_shrunk`` where the cluster has less than the plan takes, so that
    another plan may help.
    """

    def __init__(self, seconds: float, *, is_shrunk: bool) -> None:
        super().__init__(_SILENCE.format(seconds))
        self.is_shrunk = is_shrunk


def _session(run: Run, outcome: Outcome, lease: Lease, stop: Stop, clock: Clock) -> tuple[Outcome, Execution]:
    """`execute`, on one connection to Ray."""
    with connect(run.job.cluster, verbose=run.job.verbose) as resources:
        stop.install()  # Ray has put its own handlers in place of ours
        clock.lap("start")
        with workers_errors():
            num_missing = outcome.coverage.num_missing
            stages, choice = prepare_stages(run, resources, num_missing=num_missing, mark=lease.mark)
            clock.lap("choose")
            with stop.draining():
                outcome, engine, pace = _run_passes(run, outcome, stages, stop)
        clock.lap("run")
    stop.install()  # and has taken them all away at its end
    clock.lap("stop")
    return outcome, Execution(stages.plan, choice, engine, pace, resources.cpus)


def _run_passes(run: Run, outcome: Outcome, stages: Stages, stop: Stop) -> tuple[Outcome, dict[str, str], Pace]:
    """Runs the pipeline over what is missing until nothing is; gives what executed the model, and how fast, too."""
    engine: dict[str, str] = {}
    whole = Pace(0, 0.0)
    while (num_missing := outcome.coverage.num_missing) and not stop.is_asked:
        engine, pace = _run_pass(run, outcome, stages, stop)
        whole = Pace(whole.num_images + pace.num_images, whole.seconds + pace.seconds)
        outcome = collect(run.paths, run.storage, run.shards.sizes, before=outcome)
        if outcome.coverage.num_missing == num_missing and not stop.is_asked:
            raise IncompleteRunError(f"{num_missing:,} images got no outcome from any worker")
    return outcome, engine, whole


# Shards that one pass of the pipeline takes: Ray Data keeps some state for each on the driver.
_MAX_PIECES = 20_000


def _run_pass(run: Run, outcome: Outcome, stages: Stages, stop: Stop) -> tuple[dict[str, str], Pace]:
    job, before = run.job, outcome.summary
    watch = Watch(job, before, stop, lambda: not stages.plan.fits(cluster_resources()))
    with follow(run.shards.num_rows, before.num_images, stall_s=job.run.stall_s, should_stop=watch) as ledger:
        run_pipeline(stages, outcome.coverage.missing(limit=_MAX_PIECES), ledger)
        return ledger.engine(), ledger.pace()


class Watch:
    """Looks at the ledger now and then: whether too many images fail, and whether anything moves at all.

    Args:
        job: says how many may fail, and how long a batch may take.
        before: what was done when this pass began.
        stop: what ends the pass.
        is_shrunk: whether the cluster has less than the plan takes. Actors may then hold what the readers wait for, or
            wait themselves; a node that is lost can still be counted for a while when the plan is made.
    """

    def __init__(self, job: Job, before: Summary, stop: Stop, is_shrunk: Callable[[], bool]) -> None:
        self._job = job
        self._before = before
        self._stop = stop
        self._is_shrunk = is_shrunk
        self._num_signs = -1
        self._sign_at = 0.0
        self._armed = (0.0, False)

    def __call__(self, view: View) -> bool:
        """Whether no more images are to be taken in."""
        num_images = self._before.num_images + view.num_ok + view.num_errors
        if self._job.errors.is_exceeded(num_images, self._before.num_errors + view.num_errors):
            self._stop.ask()
        if self._job.run.stall_s is not None:
            self._limit_silence(view.num_signs, _SILENCES * self._job.run.stall_s)
        return self._stop.is_asked

    def _limit_silence(self, num_signs: int, limit_s: float) -> None:
        """Puts the end off at each sign of life, and near where nothing will move by itself."""
        now = time.monotonic()
        has_moved, is_shrunk = num_signs != self._num_signs, False
        if has_moved:
            self._num_signs, self._sign_at = num_signs, now
        elif self._is_shrunk():
            limit_s, is_shrunk = min(limit_s, _SHRUNK_S), True
        if has_moved or (limit_s, is_shrunk) != self._armed:
            self._armed = limit_s, is_shrunk
            error = SilenceError(limit_s, is_shrunk=is_shrunk)
            self._stop.interrupt(error, max(self._sign_at + limit_s - now, 0.001))


_SILENCES = 3
_SHRUNK_S = 30.0  # nodes that are replaced come back later than this: what they lack is planned without them
_SILENCE = "no worker gave a sign of life for {:g} s: the cluster may have lost CPUs or GPUs that the job waits for"


class WorkerError(Exception):
    """A worker failed for good; the message is that of the worker's own exception."""


@contextmanager
def workers_errors() -> Iterator[None]:
    """Raises what a worker raised, in place of Ray's many lines around it."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, OutputError):
            raise OutputError(str(error.cause).splitlines()[0]) from error  # Ray Data adds lines of its own
        if isinstance(error.cause, UserCodeException):
            raise cause_in(str(error)) from error
        raise WorkerError(f"{type(error.cause).__name__}: {error.cause}") from error
    except RayError as error:
        raise cause_in(str(error)) from error


def cause_in(text: str) -> Exception:
    """The last exception that the traceback ``text`` tells of: a `JobError`, else a `WorkerError`."""
    text = _WRAPPING.split(text)[0]
    found = list(re.finditer(r"^(?:\w+\.)*(\w+): ", text, re.MULTILINE))
    if not found:
        return WorkerError(text.strip())
    said = text[found[-1].end() :].strip()
    if found[-1].group(1) == JobError.__name__ and "\n  cure: " in said:
        problem, _, cure = said.partition("\n  cure: ")
        return JobError(problem, cure=cure.splitlines()[0])
    return WorkerError(f"{found[-1].group(1)}: {said}")


# Ray Data says this after what a predictor raised.
_WRAPPING = re.compile(r"\n\nThe above exception was the direct cause(?=[^\n]*\n\n.*\n\S*UserCodeException: )")
