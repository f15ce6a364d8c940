"""The choice of the engine: those that could be faster are tried on images of the dataset, on the hardware of the
workers, and only one that gives the answers of the reference is taken. Runs on the driver, before the pipeline.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.decoding.config import DecodeDevice, has_nvimgcodec
from actors.engines.candidates import candidates, is_reference, reference
from actors.engines.configs import AutoEngineConfig, EngineConfig, Gate, Precision, TorchEngineConfig
from actors.errors import JobError
from actors.trials.comparison import Trial
from jobs.planning.engine_cache import Choice, KeptChoice
from jobs.planning.planner import batch_sizes
from jobs.planning.trial_runner import TrialRunner

if TYPE_CHECKING:
    from actors.reading.reader import ReadPlan
    from jobs.planning.planner import Plan
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


def choose_engine(run: Run, plan: Plan, read: ReadPlan, *, num_missing: int) -> Choice:
    """The engine for the images that are missing, and, for a job that takes long, what they cost.

    Where the config leaves the choice, engines are tried as long as that is worth it: a small job runs the reference,
    and nothing is measured. What was found before for the same model, hardware and config is taken as it is.

    Raises:
        JobError: the engine that the config names does not give the answers of the reference, or none does in the
            precision that it names.
    """
    config = replace(run.job.engine, threads=run.job.engine.threads or plan.threads)
    right = reference(config, run.job.model)
    is_settled = _is_named(config) and (config.gate is Gate.off or is_reference(config, run.job.model))
    work_s = num_missing * run.checked.image_s
    if work_s < _WORTH_S and is_settled:
        return Choice(config, "named")
    if work_s < _WORTH_S and _may_run_reference(config):
        return Choice(right, "the job is too small for others to be tried")
    bench = TrialRunner(run, plan, read, reference_s=min(_REFERENCE_S, work_s / plan.workers * _REFERENCE_SHARE))
    kept = KeptChoice(run.paths, run.storage, _key(config, plan), bench.hardware())
    num_images = num_missing / plan.workers
    before = kept.read()
    others = candidates(config, bench.recipe.model, kept.hardware)
    if is_settled:
        choice = before or Choice(config, "named")
    elif before is None and work_s < worth_s(others) and _may_run_reference(config):
        choice = Choice(right, "the job is too small for others to be tried, which would gain little here")
    else:
        contest = EngineSelection(bench, config, right, others)
        is_open = before is None or contest.is_open(before, num_images)
        choice = contest.choose(num_images) if before is None or is_open else before
    images_per_s = _best_rate(choice.trials) if choice.trials else 1 / run.checked.image_s
    if choice.calibration is None and num_images / images_per_s > _CALIBRATION_WORTH_S:
        LOG.info("measuring what an image costs with engine %s", choice.engine.label)
        choice = replace(choice, calibration=bench.calibrate(choice.engine, batch_sizes(run.job, plan)))
        if plan.worker_gpus and run.job.decode.device is DecodeDevice.auto and has_nvimgcodec():
            choice = replace(choice, decoders=bench.decoders(right))
    if choice != before and (choice.trials or choice.calibration):
        kept.write(choice)
    return choice


def _key(config: EngineConfig, plan: Plan) -> str:
    """What the config says of the engine, as far as the choice depends on it."""
    is_strict = config.gate is Gate.stop  # which an engine that only gave cause for a warning has not passed
    about = [config.label, config.device.value, str(config.tolerance), is_strict, plan.batch_size, config.threads]
    return json.dumps(about)


def worth_s(others: list[EngineConfig]) -> float:
    """Seconds that a job must take for engines to be tried, which costs about 30: where none of them computes in half
    precision, the fastest saves a fifth to a third.
    """
    has_half = any(one.precision in (Precision.bf16, Precision.fp16) for one in others)
    return _WORTH_S if has_half else 5 * _WORTH_S


# Sampling and the reference alone take some.
_WORTH_S = 30.0

# What is left to do must take as long for a calibration, which takes some 8 s, and by another batch size gains some
# percent.
_CALIBRATION_WORTH_S = 180.0

# The most that the reference may take for its answers; it has some for each of them at the least.
_REFERENCE_S, _REFERENCE_SHARE = 20.0, 0.03


def _is_named(config: EngineConfig) -> bool:
    return not isinstance(config, AutoEngineConfig)


def _may_run_reference(config: EngineConfig) -> bool:
    return not _is_named(config) and config.precision in (Precision.auto, Precision.fp32)


class EngineSelection:
    """The reference and, one after the other, what is held against it."""

    def __init__(
        self, bench: TrialRunner, config: EngineConfig, right: EngineConfig, others: list[EngineConfig]
    ) -> None:
        self._bench = bench
        self._config = config
        self._right = right
        self._others = others

    def is_open(self, kept: Choice, num_images: float) -> bool:
        """Whether so many images of one worker are worth more trials than the ``kept`` choice was made from."""
        if not kept.trials:
            return True
        known = {trial.engine for trial in kept.trials}
        return any(
            other.label not in known and self._is_worth(other, kept.trials, num_images) for other in self._others
        )

    def choose(self, num_images: float) -> Choice:
        """The engine for ``num_images`` of one worker."""
        right = self._bench.reference(self._right) if self._bench.sample() else None
        if right is None and _is_named(self._config):
            LOG.warning("no image of the dataset could be compared: %s is tried on made-up ones", self._config.label)
            self._bench.make_up()
            right = self._bench.reference(self._right)
        if right is None:
            LOG.warning("there are no answers to compare engines by: none was tried")
            named = [] if _may_run_reference(self._config) else self._others
            return Choice((named or [self._right])[0], "there was nothing to compare")
        trials, engines = [right], [self._right]
        for other in self._others:
            if self._is_worth(other, trials, num_images):
                LOG.info("trying engine %s", other.label)
                trials.append(self._try(other))
                engines.append(other)
        return self._best(engines, trials)

    def _try(self, engine: EngineConfig) -> Trial:
        try:
            return self._bench.candidate(engine)
        except JobError as error:
            if _is_named(self._config):
                raise
            return Trial(engine.label, breaches=[error.problem])

    def _is_worth(self, candidate: EngineConfig, trials: list[Trial], num_images: float) -> bool:
        """Whether a try costs less than it is likely to save; where the config leaves no choice, it is made."""
        if not _may_run_reference(self._config):
            return True
        is_slow = isinstance(candidate, TorchEngineConfig) and candidate.compile
        has_rival = candidate.precision is Precision.fp32 and any(not trial.breaches for trial in trials[1:])
        remaining_s = num_images / _best_rate(trials)
        return remaining_s > (_RIVAL_TIMES if has_rival else _TIMES) * (_COMPILE_S if is_slow else _TRY_S)

    def _best(self, engines: list[EngineConfig], trials: list[Trial]) -> Choice:
        """The fastest that holds the tolerance. The reference stands first."""
        num_images = self._bench.num_images
        first = 0 if _may_run_reference(self._config) else 1
        passed = [place for place in range(first, len(trials)) if not trials[place].breaches]
        if passed:
            best = max(passed, key=lambda place: trials[place].images_per_s)
            agrees, fastest = f"named, and it agrees with {self._right.label}", f"the fastest of {len(trials)}"
            why = f"{agrees if _is_named(self._config) else fastest}, on {self._bench.tried_on}"
            is_kept = not self._bench.is_made_up  # real images have the last word, in the next job
            return Choice(engines[best], why, trials if is_kept else [], num_images if is_kept else 0)
        said = "; ".join(f"{one.engine}: {one.breaches[0]}" for one in trials[first:]) or "there is none here"
        problem = f"{_asked(self._config)}: not the answers of {self._right.label}, on {self._bench.tried_on}: {said}"
        if self._config.gate is Gate.warn and len(engines) > 1:
            LOG.warning("%s; engine.gate=warn: going on", problem)
            return Choice(engines[1], "named, although its answers differ", trials, num_images)
        raise JobError(problem, cure=_DIFFERS_CURE)


# A try is worth it where what remains takes so many times as long: engines gain a third and more on the reference, but
# in fp32 hardly a tenth on each other. And the seconds that one takes about.
_TIMES, _RIVAL_TIMES = 3.0, 15.0
_TRY_S, _COMPILE_S = 8.0, 60.0


def _best_rate(trials: list[Trial]) -> float:
    """Images per second of the fastest that may be taken; the reference is among them."""
    return max(trial.images_per_s for trial in trials if not trial.breaches)


_DIFFERS_CURE = "leave engine and engine.precision at auto; or widen engine.tolerance; or set engine.gate=warn to go on"


def _asked(config: EngineConfig) -> str:
    return f"engine={config.name}, engine.precision={config.precision.value}"
