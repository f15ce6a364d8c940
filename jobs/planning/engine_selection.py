"""Selects the engine: tries candidates on images of the dataset and the workers' hardware, and selects the fastest one
whose answers match the reference. Runs on the driver, before the pipeline.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.decoding.config import DecodeDevice, has_nvimgcodec
from actors.engines.candidates import candidates, is_reference, missing_engine, reference
from actors.engines.configs import AutoEngineConfig, EngineConfig, Gate
from actors.errors import JobError
from actors.trials.comparison import Trial
from jobs.cli.phases import phase
from jobs.planning.engine_cache import Choice, KeptChoice, choice_key
from jobs.planning.kept_graph import int8_graph
from jobs.planning.planner import batch_sizes
from jobs.planning.trial_runner import TrialRunner
from jobs.planning.trial_worth import WORTH_S, best_rate, is_tried, likely_share, may_run_reference

if TYPE_CHECKING:
    from actors.reading.reader import ReadPlan
    from jobs.planning.planner import Plan
    from jobs.runs.opening import Run

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Rivals:
    """Engines that were not tried before the run, for a race during the run."""

    trials: TrialRunner
    kept: KeptChoice
    right: EngineConfig
    """The reference."""
    others: list[EngineConfig]
    """Most promising first; may be empty."""


def choose_engine(run: Run, plan: Plan, read: ReadPlan, *, num_missing: int) -> tuple[Choice, Rivals | None]:
    """Selects the engine for the missing images; for a long job, also measures the cost of an image.

    With engine=auto, engines are tried only while a trial is likely to pay off: a small job runs the reference without
    any measurement, unless the driver has loaded the network, which makes a trial cheap. On CPUs, the run starts with
    the first one that passes; a long job tries the rest, which are returned as rivals, while it runs
    (`jobs.dataflow.engine_race`). A cached choice for the same model, hardware and config is reused.

    Raises:
        JobError: the engine named by the config does not match the reference, or no engine of that precision does.
    """
    config = replace(run.job.engine, threads=run.job.engine.threads or plan.threads)
    right = reference(config, run.job.model)
    is_settled = _is_named(config) and (config.gate is Gate.off or is_reference(config, run.job.model))
    num_images = num_missing / plan.workers
    work_s = num_images * run.checked.image_s
    if work_s < WORTH_S and is_settled and not config.needs_int8_graph(run.job.model):
        return Choice(config, "named"), None
    trials = TrialRunner(run, plan, read)
    if work_s < WORTH_S and may_run_reference(config) and not trials.is_local:
        return Choice(right, "the job is too small to try other engines"), None
    graph = _int8_graph(run, trials, config, 0 if plan.worker_gpus else work_s)
    trials.recipe = replace(trials.recipe, int8_graph=graph)
    inventory = run.record.inventory_digest if trials.is_local else ""
    kept = KeptChoice(run.paths, run.storage, choice_key(config, plan, graph), trials.hardware(), inventory)
    before = kept.read()
    if before is None and (before := kept.read_node()):
        kept.write(before)
    others = [one for one in candidates(config, trials.recipe.model, kept.hardware) if _is_possible(one, trials)]
    trials.limit_reference(min(_REFERENCE_S, work_s * likely_share(others) * _REFERENCE_SHARE))
    has_network = trials.has_loaded and run.checked.network is not None
    selection = EngineSelection(trials, config, right, others, is_raced=not plan.worker_gpus, has_network=has_network)
    if is_settled:
        choice = before or Choice(config, "named")
    elif before is None or selection.is_open(before, num_images):
        choice = selection.choose(num_images, 1 / run.checked.image_s)
    else:
        choice = before
    images_per_s = best_rate(choice.trials) if choice.trials else 1 / (run.checked.image_s * likely_share(others))
    if choice.calibration is None and num_images / images_per_s > _CALIBRATION_WORTH_S:
        LOG.info("measuring the cost of an image with engine %s", choice.engine.label)
        with phase("measuring the cost of an image"):
            choice = replace(choice, calibration=trials.calibrate(choice.engine, batch_sizes(run.job, plan)))
        may_decode = run.job.decode.device is DecodeDevice.auto and has_nvimgcodec() and read.tile is None
        if plan.worker_gpus and may_decode:
            choice = replace(choice, decoders=trials.decoders(right))
    if choice != before and (choice.trials or choice.calibration):
        kept.write(choice)
    choice = replace(choice, int8_graph=graph)
    if _is_named(config):
        return choice, None
    known = {trial.engine for trial in choice.trials}
    rivals = Rivals(trials, kept, right, [other for other in others if other.label not in known])
    is_raced = bool(choice.trials) and not plan.worker_gpus
    return replace(choice, missing=missing_engine(run.job.model, kept.hardware)), rivals if is_raced else None


def _int8_graph(run: Run, trials: TrialRunner, config: EngineConfig, work_s: float) -> bytes | None:
    """Returns the quantised network if the config requires it, or allows it and the job is long enough; else None."""
    model = run.job.model
    if config.needs_int8_graph(model):
        return int8_graph(run, trials)
    if work_s < _INT8_WORTH_S or not (isinstance(config, AutoEngineConfig) and config.admits_int8(model)):
        return None
    try:
        return int8_graph(run, trials)
    except JobError as error:
        LOG.warning("int8, which engine.tolerance admits, is not tried: %s", error.problem)
        return None


def _is_possible(engine: EngineConfig, trials: TrialRunner) -> bool:
    recipe = trials.recipe
    return recipe.int8_graph is not None or not engine.needs_int8_graph(recipe.model)


# Seconds of work per worker above which quantising pays off: it takes 5 to 200 s, and halves the work or better.
_INT8_WORTH_S = 120.0

# Seconds of remaining work above which calibration pays off: it takes about 8 s, and a better batch size gains a few
# percent.
_CALIBRATION_WORTH_S = 180.0

# Time limits of the reference: in seconds, and as a share of the time that a worker is likely to work.
_REFERENCE_S, _REFERENCE_SHARE = 20.0, 0.03


def _is_named(config: EngineConfig) -> bool:
    return not isinstance(config, AutoEngineConfig)


class EngineSelection:
    """Compares candidates with the reference, one at a time.

    Args:
        trials: runs the engines.
        config: engine settings of the job.
        right: the reference.
        others: candidates, most promising first.
        is_raced: if True, candidates after the first one that passes are left to a race during the run.
        has_network: see `is_tried`.
    """

    def __init__(
        self,
        trials: TrialRunner,
        config: EngineConfig,
        right: EngineConfig,
        others: list[EngineConfig],
        *,
        is_raced: bool = False,
        has_network: bool = False,
    ) -> None:
        self._runner = trials
        self._config = config
        self._right = right
        self._others = others
        self._is_raced = is_raced
        self._has_network = has_network

    def is_open(self, kept: Choice, num_images: float) -> bool:
        """Returns True if ``num_images`` per worker justify more trials before the run than those of the ``kept``
        choice.
        """
        if not kept.trials:
            return True
        if self._is_raced and any(not trial.breaches for trial in kept.trials[1:]):
            return False
        known = {trial.engine for trial in kept.trials}
        return any(
            other.label not in known and self._is_tried(other, kept.trials, num_images) for other in self._others
        )

    def choose(self, num_images: float, images_per_s: float) -> Choice:
        """Runs the trials and selects the engine for ``num_images`` per worker. ``images_per_s`` is a first estimate of
        the reference's rate.
        """
        known = [Trial(self._right.label, images_per_s)]
        worth = [other for other in self._others if self._is_tried(other, known, num_images)]
        if not worth and may_run_reference(self._config):
            return Choice(self._right, "the job is too small to try other engines, which would gain little here")
        with phase("reading a sample of the images"):
            num_sampled = self._runner.sample()
        if num_sampled and worth and self._is_raced:  # a GPU runs them sequentially, and its reference is fast
            self._runner.begin(worth[0])
        with phase(f"running the reference, {self._right.label}"):
            right = self._runner.reference(self._right) if num_sampled else None
        if right is None and _is_named(self._config):
            LOG.warning("no image of the dataset could be compared; trying %s on synthetic ones", self._config.label)
            self._runner.use_noise()
            right = self._runner.reference(self._right)
        if right is None:
            LOG.warning("the reference gave no answers to compare with; skipping the trials of engines")
            named = [] if may_run_reference(self._config) else self._others
            return Choice((named or [self._right])[0], "there was nothing to compare")
        trials, engines = [right], [self._right]
        for other in self._others:
            if self._is_raced and self._has_faster(trials):
                break
            if (self._is_raced and other in worth[:1]) or self._is_tried(other, trials, num_images):
                trials.append(self._try(other))
                engines.append(other)
        return self._best(engines, trials)

    def _has_faster(self, trials: list[Trial]) -> bool:
        """Returns True if an engine passed that is faster than the reference, or allowed where the reference is not."""
        least = trials[0].images_per_s if may_run_reference(self._config) else 0.0
        return any(not trial.breaches and trial.images_per_s > least for trial in trials[1:])

    def _try(self, engine: EngineConfig) -> Trial:
        try:
            with phase(f"trying engine {engine.label}"):
                return self._runner.candidate(engine)
        except JobError as error:
            if _is_named(self._config):
                raise
            return Trial(engine.label, breaches=[error.problem])

    def _is_tried(self, candidate: EngineConfig, trials: list[Trial], num_images: float) -> bool:
        return is_tried(candidate, self._config, trials, num_images, has_network=self._has_network)

    def _best(self, engines: list[EngineConfig], trials: list[Trial]) -> Choice:
        """Selects the fastest engine within the tolerance. The reference comes first in both lists."""
        num_images = self._runner.num_images
        first = 0 if may_run_reference(self._config) else 1
        passed = [place for place in range(first, len(trials)) if not trials[place].breaches]
        if passed:
            best = max(passed, key=lambda place: trials[place].images_per_s)
            agrees, fastest = f"named, and it agrees with {self._right.label}", f"the fastest of {len(trials)}"
            why = f"{agrees if _is_named(self._config) else fastest}, on {self._runner.tried_on}"
            is_kept = not self._runner.is_synthetic  # the next job compares again on real images
            return Choice(engines[best], why, trials if is_kept else [], num_images if is_kept else 0)
        if len(trials) == first:
            raise JobError(f"{_asked(self._config)}: no such engine here: {_NONE_HERE}", fix=_NONE_FIX)
        found = "; ".join(f"{one.engine}: {one.breaches[0]}" for one in trials[first:])
        differs = f"its answers are not the answers of {self._right.label}, on {self._runner.tried_on}"
        problem = f"{_asked(self._config)}: {differs}: {found}"
        if self._config.gate is Gate.warn and len(engines) > 1:
            LOG.warning("%s; continuing, as engine.gate=warn", problem)
            return Choice(engines[1], "named, although its answers differ", trials, num_images)
        raise JobError(problem, fix=_DIFFERS_FIX)


_NONE_HERE = "auto knows none that runs this form of model faster in that precision on the hardware of the workers"
_NONE_FIX = (
    "leave engine.precision at auto, or set it to fp32; or name the engine, such as engine=torch, to run it in that "
    "precision all the same; docs/models.md lists the engines of each form"
)
_DIFFERS_FIX = "leave engine and engine.precision at auto, widen engine.tolerance, or set engine.gate=warn to continue"


def _asked(config: EngineConfig) -> str:
    return f"engine={config.name}, engine.precision={config.precision.value}"
