"""Tries more engines while the job runs, so that a faster one can take over. Runs in a thread on the driver."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from actors.errors import JobError
from actors.messages import one_line
from actors.trials.comparison import Trial
from jobs.planning.trial_worth import cost_s, is_worth

if TYPE_CHECKING:
    from types import TracebackType

    from actors.engines.configs import EngineConfig
    from jobs.planning.engine_cache import Choice
    from jobs.planning.engine_selection import Rivals
    from jobs.planning.trial_runner import TrialRunner

LOG = logging.getLogger("shardlens")


class EngineRace:
    """Races the ``rivals``, one at a time, against the current engine while the context is active. Stores the result
    for the next run.

    Args:
        rivals: engines to try; None disables the race.
        choice: the current engine, and the trials before the run.
        num_missing: number of images of the session.
        workers: actors of the plan.
    """

    def __init__(self, rivals: Rivals | None, choice: Choice, *, num_missing: int, workers: int) -> None:
        self.choice = choice
        """The current engine, or that of the next pass."""
        self.is_due = False
        """True if a winner waits for the end of the pass."""
        self._best = choice  # so far, with all trials; only the thread replaces it, as a whole
        self._others = rivals.others if rivals else []
        self._num_missing = num_missing
        self._workers = workers
        self._budget_s = num_missing / _rate(choice) * _SHARE if rivals else 0.0
        self._limit_s = max(_LIMIT_S, self._budget_s)
        self._is_over = threading.Event()
        # A daemon: a hung call to Ray or storage must not keep the command from ending.
        self._thread = threading.Thread(target=self._run, args=(rivals,), name="race", daemon=True)

    def __enter__(self) -> Self:
        if any(map(self._is_worth, self._others)):
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(_END_S)

    def stop(self) -> None:
        """Ends the race without waiting for its thread."""
        self._is_over.set()

    def has_winner(self, num_missing: int) -> bool:
        """Returns True if a winner would save more time on ``num_missing`` images than its start takes."""
        self._num_missing = num_missing
        if not self.is_due and self._best.engine != self.choice.engine:
            self.is_due = self._saved_s(self._best) > _SWITCH_S
        return self.is_due

    def switch(self) -> Choice:
        """Returns the winner as the choice for the next pass."""
        before, self.choice, self.is_due = self.choice, self._best, False
        ratio = _rate(self.choice) / _rate(self.choice, before.engine)
        LOG.info(
            "engine %s is %.1f times as fast as %s on %d images of the dataset, and agrees: continuing with it",
            self.choice.engine.label, ratio, before.engine.label, self.choice.num_images,
        )  # fmt: skip
        return self.choice

    def result(self) -> Choice:
        """Returns the engine of the last pass, with all trials, for the report."""
        best = self._best
        is_late = best.engine != self.choice.engine
        late = f"; {best.engine.label} proved faster too late, and runs next time" if is_late else ""
        return replace(self.choice, why=self.choice.why + late, trials=best.trials)

    def _run(self, rivals: Rivals) -> None:
        try:
            self._race(rivals)
        except CancelledError:
            pass
        except Exception as error:  # noqa: BLE001  the job goes on, with the engine that it has
            LOG.warning("the race of engines ended early: %s", one_line(error))

    def _race(self, rivals: Rivals) -> None:
        trials, begun_with = rivals.trials, self._best
        trials.run_behind(self._is_over, self._limit_s)
        if not trials.has_reference and not (trials.sample() and trials.reference(rivals.right)):
            return
        try:
            for rival in self._others:
                if self._is_worth(rival):
                    LOG.info("trying engine %s while the job works", rival.label)
                    self._add(rival, self._try(trials, rival), trials.tried_on)
                    self._budget_s -= cost_s(rival)
        finally:
            if self._best is not begun_with:
                # The next run calibrates a winner again, because these rates are estimates.
                calibration = self._best.calibration if self._best.engine == begun_with.engine else None
                rivals.kept.write(replace(self._best, calibration=calibration))

    def _is_worth(self, rival: EngineConfig) -> bool:
        is_affordable = cost_s(rival) <= self._budget_s and not self._is_over.is_set()
        return is_affordable and is_worth(rival, self._best.trials, self._num_missing / self._workers)

    def _try(self, trials: TrialRunner, rival: EngineConfig) -> Trial:
        best = self._best
        try:
            return trials.challenge(best.engine, _rate(best), rival)
        except JobError as error:
            return Trial(rival.label, breaches=[error.problem])

    def _add(self, rival: EngineConfig, trial: Trial, tried_on: str) -> None:
        """Records a trial of ``rival``, which takes the lead if it agrees and the gain exceeds the noise."""
        best = replace(self._best, trials=[*self._best.trials, trial])
        if not trial.breaches and trial.images_per_s > _NOISE * _rate(best):
            why = f"the fastest of {len(best.trials)}, tried during the run, on {tried_on}"
            calibration = best.calibration and best.calibration.scaled(trial.images_per_s / _rate(best))
            best = replace(best, engine=rival, why=why, calibration=calibration)
        self._best = best

    def _saved_s(self, best: Choice) -> float:
        """Returns the seconds per worker that ``best`` saves on the remaining images."""
        before_s, after_s = 1 / _rate(best, self.choice.engine), 1 / _rate(best)
        return self._num_missing / self._workers * (before_s - after_s)


def _rate(choice: Choice, engine: EngineConfig | None = None) -> float:
    """Returns the images per second of ``engine``, by default that of ``choice``, in its trials."""
    label = (engine or choice.engine).label
    return next(trial.images_per_s for trial in choice.trials if trial.engine == label)


_SHARE = 0.03  # share of the work that all trials together may take
_NOISE = 1.1  # ratio of CPU-time rates below which they count as equal; it varies by about 0.02
_SWITCH_S = 8.0  # start of the actors, and the end of a pass, when some workers are idle
_LIMIT_S = 120.0  # one trial; more for a job that takes hours
_END_S = 1.0
