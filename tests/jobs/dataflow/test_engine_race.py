from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError

import pytest

from actors.engines.configs import EngineConfig, OnnxEngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.errors import JobError
from actors.trials.comparison import Trial
from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs
from jobs.dataflow.engine_race import EngineRace
from jobs.planning.calibration import Calibration
from jobs.planning.engine_cache import Choice
from jobs.planning.engine_selection import Rivals

REFERENCE = TorchEngineConfig(precision=Precision.fp32)
RUNNING = OnnxEngineConfig(precision=Precision.fp32)
RIVAL = OpenVinoEngineConfig(precision=Precision.fp32)
COMPILED = TorchEngineConfig(precision=Precision.fp32, compile=True)
CALIBRATION = Calibration(Costs(0.001, 0.002), Rates({32: 40.0}, 10**9))
CHOICE = Choice(
    RUNNING, "the fastest of 2", [Trial(REFERENCE.label, 20.0), Trial(RUNNING.label, 40.0)], 64, CALIBRATION
)
WRONG = ["the best class of image 17 differs"]


class TrialRunner:
    """Returns predefined trials, by engine label."""

    tried_on = "64 images of the dataset"

    def __init__(self, trials: Mapping[str, Trial | Exception | None], *, num_sampled: int | None = None) -> None:
        self._trials = trials
        self._num_sampled = num_sampled
        self.has_reference = num_sampled is None
        self.tried: list[tuple[str, str]] = []

    def run_behind(self, is_over: threading.Event, limit_s: float) -> None:
        self._is_over = is_over
        assert limit_s >= 120

    def sample(self) -> int:
        return self._num_sampled or 0

    def reference(self, config: EngineConfig) -> Trial | None:
        self.tried.append((config.label, ""))
        return Trial(config.label, 5.0)

    def challenge(self, current: EngineConfig, images_per_s: float, rival: EngineConfig) -> Trial:
        self.tried.append((rival.label, f"{current.label} {images_per_s:g}"))
        trial = self._trials[rival.label]
        if trial is None:  # takes longer than the job
            self._is_over.wait()
            raise CancelledError
        if isinstance(trial, Exception):
            raise trial
        return trial


class Kept:
    choice: Choice | None = None

    def write(self, choice: Choice) -> None:
        self.choice = choice


def rivals_of(runner: TrialRunner, *others: EngineConfig) -> Rivals:
    return Rivals(runner, Kept(), REFERENCE, list(others))


def race_over(rivals: Rivals | None, *, num_missing: int = 100_000) -> EngineRace:
    return EngineRace(rivals, CHOICE, num_missing=num_missing, workers=2)


def finished(race: EngineRace) -> EngineRace:
    """Runs ``race`` until it ends."""
    with race:
        if race._thread.ident:
            race._thread.join(10)
    return race


def test_a_rival_that_is_faster_and_agrees_takes_over(caplog: pytest.LogCaptureFixture) -> None:
    rivals = rivals_of(TrialRunner({RIVAL.label: Trial(RIVAL.label, 56.0)}), RIVAL)
    race = finished(race_over(rivals))
    assert race.has_winner(50_000)
    assert race.is_due
    with caplog.at_level(logging.INFO, "shardlens"):
        assert race.switch().engine == RIVAL
    said = "engine openvino fp32 is 1.4 times as fast as onnxruntime fp32 on 64 images of the dataset, and agrees: cont"
    assert said in caplog.text
    assert not race.is_due
    assert not race.has_winner(50_000)
    assert race.result().why == "the fastest of 3, tried during the run, on 64 images of the dataset"
    assert [trial.images_per_s for trial in race.result().trials] == [20, 40, 56]
    assert race.result().calibration.rates.images_per_s == {32: 56.0}
    assert rivals.kept.choice == race.result() or rivals.kept.choice.calibration is None


@pytest.mark.parametrize(
    "trial",
    [Trial(RIVAL.label, 43.0), Trial(RIVAL.label, 90.0, breaches=WRONG), JobError("cannot", fix="none")],
)
def test_noise_wrong_answers_and_failures_do_not(trial: Trial | JobError) -> None:
    rivals = rivals_of(TrialRunner({RIVAL.label: trial}), RIVAL)
    race = finished(race_over(rivals))
    assert not race.has_winner(50_000)
    assert race.result().engine == RUNNING
    assert len(race.result().trials) == 3
    assert rivals.kept.choice == race.result()  # with the calibration, which is still valid


def test_a_winner_that_comes_too_late_runs_next_time() -> None:
    rivals = rivals_of(TrialRunner({RIVAL.label: Trial(RIVAL.label, 56.0)}), RIVAL)
    race = finished(race_over(rivals))
    assert not race.has_winner(2 * 1000)  # saves 1000 / 40 - 1000 / 56 = 7 s
    assert race.result().engine == RUNNING
    assert race.result().why == "the fastest of 2; openvino fp32 proved faster too late, and runs next time"
    assert (rivals.kept.choice.engine, rivals.kept.choice.calibration) == (RIVAL, None)


def test_the_next_rival_is_held_against_the_winner() -> None:
    trials = {RIVAL.label: Trial(RIVAL.label, 56.0), COMPILED.label: Trial(COMPILED.label, 61.0)}
    rivals = rivals_of(TrialRunner(trials), RIVAL, COMPILED)
    race = finished(race_over(rivals, num_missing=10_000_000))
    assert rivals.trials.tried == [(RIVAL.label, "onnxruntime fp32 40"), (COMPILED.label, "openvino fp32 56")]
    assert race.result().trials[-1].engine == COMPILED.label
    assert rivals.kept.choice.engine == RIVAL


@pytest.mark.parametrize(
    ("others", "num_missing", "num_tried"),
    [((RIVAL,), 6_000, 0), ((RIVAL,), 7_000, 1), ((RIVAL, COMPILED), 80_000, 1), ((RIVAL, COMPILED), 200_000, 2)],
)
def test_all_trials_together_take_a_small_share_of_the_work(
    others: tuple[EngineConfig, ...], num_missing: int, num_tried: int
) -> None:
    trials = {one.label: Trial(one.label, 20.0) for one in (RIVAL, COMPILED)}
    rivals = rivals_of(TrialRunner(trials), *others)
    finished(race_over(rivals, num_missing=num_missing))
    assert len(rivals.trials.tried) == num_tried


def test_without_rivals_there_is_no_race() -> None:
    for race in (race_over(None), EngineRace(None, Choice(REFERENCE, "small"), num_missing=9, workers=1)):
        assert not finished(race).has_winner(1)
        assert race.result() == race.choice
        assert race._thread.ident is None


@pytest.mark.parametrize(("num_sampled", "tried"), [(64, [REFERENCE.label, RIVAL.label]), (0, [])])
def test_a_choice_that_was_kept_needs_the_reference_first(num_sampled: int, tried: list[str]) -> None:
    runner = TrialRunner({RIVAL.label: Trial(RIVAL.label, 56.0)}, num_sampled=num_sampled)
    finished(race_over(rivals_of(runner, RIVAL)))
    assert [label for label, _ in runner.tried] == tried


def test_the_job_ends_in_the_middle_of_a_race() -> None:
    trials = {RIVAL.label: Trial(RIVAL.label, 56.0), COMPILED.label: None}
    rivals = rivals_of(TrialRunner(trials), RIVAL, COMPILED)
    with race_over(rivals, num_missing=10_000_000) as race:
        until(lambda: len(rivals.trials.tried) == 2)
    assert not race._thread.is_alive()
    assert rivals.kept.choice.engine == RIVAL  # not lost


def test_an_error_in_a_race_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    rivals = rivals_of(TrialRunner({RIVAL.label: TimeoutError("a trial takes more than 120 s")}), RIVAL)
    race = finished(race_over(rivals))
    assert "the race of engines ended early: " in caplog.text
    assert race.result() == CHOICE
    assert rivals.kept.choice is None


def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
