from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from actors.engines.configs import (
    AutoEngineConfig,
    EngineConfig,
    Gate,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.engines.tolerance import Tolerance
from actors.errors import JobError
from actors.models.spec import Model
from actors.recipe import Recipe
from actors.trials.comparison import Trial
from jobs.planning.engine_cache import Choice, choice_key
from jobs.planning.engine_selection import EngineSelection, _int8_graph, _is_possible

REFERENCE = TorchEngineConfig(precision=Precision.fp32)
FAST = OpenVinoEngineConfig(precision=Precision.bf16)
FASTER = TorchEngineConfig(precision=Precision.bf16)
COMPILED = TorchEngineConfig(precision=Precision.bf16, compile=True)
WRONG = ["the best class of image 17 differs, where the reference leads by 0.41"]


class TrialRunner:
    """Returns predefined trials, by engine label."""

    num_images = 256
    is_synthetic = False

    def __init__(self, trials: Mapping[str, Trial | JobError], num_sampled: int = 256) -> None:
        self._trials = trials
        self._num_sampled = num_sampled  # below 0: they kill the reference
        self.num_images = max(0, num_sampled)
        self.tried: list[str] = []

    def sample(self) -> int:
        return self._num_sampled

    def begin(self, config: EngineConfig) -> None:
        self.begun = config.label

    @property
    def tried_on(self) -> str:
        return f"{self.num_images} {'synthetic images' if self.is_synthetic else 'images of the dataset'}"

    def use_noise(self) -> None:
        self.is_synthetic, self._num_sampled, self.num_images = True, 2, 2

    def reference(self, config: EngineConfig) -> Trial | None:
        return None if self._num_sampled < 0 else Trial(config.label, 10.0)

    def candidate(self, config: EngineConfig) -> Trial:
        self.tried.append(config.label)
        trial = self._trials[config.label]
        if isinstance(trial, JobError):
            raise trial
        return trial


BENCH = {
    FAST.label: Trial(FAST.label, 40.0),
    FASTER.label: Trial(FASTER.label, 80.0),
    COMPILED.label: Trial(COMPILED.label, 160.0),
}


def selection(
    config: EngineConfig, trials: TrialRunner, *others: EngineConfig, is_raced: bool = False
) -> EngineSelection:
    return EngineSelection(trials, config, REFERENCE, list(others), is_raced=is_raced)


def test_the_fastest_that_agrees_is_taken() -> None:
    trials = TrialRunner(BENCH)
    choice = selection(AutoEngineConfig(), trials, FAST, FASTER).choose(1e6, 10.0)
    assert choice.engine == FASTER
    assert [trial.images_per_s for trial in choice.trials] == [10, 40, 80]
    assert choice.num_images == 256
    wrong = TrialRunner(BENCH | {FASTER.label: Trial(FASTER.label, 80, breaches=WRONG)})
    assert selection(AutoEngineConfig(), wrong, FAST, FASTER).choose(1e6, 10.0).engine == FAST


def test_where_nothing_else_agrees_the_reference_runs() -> None:
    trials = TrialRunner({FAST.label: Trial(FAST.label, 40, breaches=WRONG), FASTER.label: JobError("no", fix="none")})
    choice = selection(AutoEngineConfig(), trials, FAST, FASTER).choose(1e6, 10.0)
    assert choice.engine == REFERENCE
    assert [trial.breaches for trial in choice.trials] == [[], WRONG, ["no"]]


def test_what_costs_more_than_it_can_save_is_not_tried() -> None:
    for num_images, tried in ((50, []), (1_000, [FAST.label]), (10_000, [FAST.label, COMPILED.label])):
        trials = TrialRunner(BENCH)
        choice = selection(AutoEngineConfig(), trials, FAST, COMPILED).choose(num_images, 10.0)
        assert trials.tried == tried, num_images
        assert selection(AutoEngineConfig(), trials, FAST, COMPILED).is_open(choice, num_images) is (not tried)
    small = selection(AutoEngineConfig(), TrialRunner(BENCH), FAST, COMPILED).choose(50, 10.0)
    assert selection(AutoEngineConfig(), TrialRunner(BENCH), FAST, COMPILED).is_open(small, 1e6) is True


def test_in_fp32_a_second_engine_is_tried_where_a_tenth_is_worth_it() -> None:
    first, second = OpenVinoEngineConfig(precision=Precision.fp32), OnnxEngineConfig(precision=Precision.fp32)
    rates = {first.label: Trial(first.label, 20.0), second.label: Trial(second.label, 22.0)}
    refused = {**rates, first.label: Trial(first.label, 20.0, breaches=WRONG)}
    for num_images, outcomes, tried in ((1_000, rates, 1), (1_000, refused, 2), (5_000, rates, 2)):
        trials = TrialRunner(outcomes)
        choice = selection(AutoEngineConfig(), trials, first, second).choose(num_images, 10.0)
        assert len(trials.tried) == tried, (num_images, trials)
        assert selection(AutoEngineConfig(), trials, first, second).is_open(choice, num_images) is False


def test_where_the_reference_did_not_end_it_is_tried_again() -> None:
    choice = selection(AutoEngineConfig(), TrialRunner(BENCH, num_sampled=-1), FAST).choose(1e6, 10.0)
    assert choice.trials == []
    assert selection(AutoEngineConfig(), TrialRunner(BENCH), FAST).is_open(choice, 1e6) is True


def test_a_named_engine_is_always_tried_and_stops_the_job_where_its_answers_differ() -> None:
    choice = selection(FAST, TrialRunner(BENCH), FAST).choose(3, 10.0)
    assert (choice.engine, choice.why) == (FAST, "named, and it agrees with torch fp32, on 256 images of the dataset")
    wrong = TrialRunner({FAST.label: Trial(FAST.label, 40, breaches=WRONG)})
    with pytest.raises(
        JobError,
        match=r"engine=openvino, engine.precision=bf16: .*256 images of the dataset: openvino bf16: the best class",
    ):
        selection(FAST, wrong, FAST).choose(3, 10.0)
    missing = JobError("engine=openvino: OpenVINO is not installed", fix="install it")
    with pytest.raises(JobError, match="fix: install it"):
        selection(FAST, TrialRunner({FAST.label: missing}), FAST).choose(3, 10.0)


def test_in_fp32_a_job_must_be_longer_for_a_trial_to_pay_off() -> None:
    exact = OpenVinoEngineConfig(precision=Precision.fp32)
    rates = {**BENCH, exact.label: Trial(exact.label, 15.0)}
    for engine, is_tried in ((FAST, True), (exact, False)):
        trials = TrialRunner(rates)
        choice = selection(AutoEngineConfig(), trials, engine).choose(100, 10.0)
        assert trials.tried == [engine.label] * is_tried
        assert (choice.engine == engine) is is_tried


def test_a_run_starts_with_the_first_that_passes_where_a_race_follows() -> None:
    trials = TrialRunner(BENCH)
    choice = selection(AutoEngineConfig(), trials, FAST, FASTER, is_raced=True).choose(1e6, 10.0)
    assert (choice.engine, trials.tried, trials.begun) == (FAST, [FAST.label], FAST.label)
    assert selection(AutoEngineConfig(), TrialRunner(BENCH), FAST, FASTER, is_raced=True).is_open(choice, 1e6) is False


@pytest.mark.parametrize(
    "first", [Trial(FAST.label, 40, breaches=WRONG), Trial(FAST.label, 5), JobError("cannot", fix="none")]
)
def test_a_wrong_first_guess_costs_one_trial(first: Trial | JobError) -> None:
    trials = TrialRunner(BENCH | {FAST.label: first})
    choice = selection(AutoEngineConfig(), trials, FAST, FASTER, COMPILED, is_raced=True).choose(1e6, 10.0)
    assert (choice.engine, trials.tried) == (FASTER, [FAST.label, FASTER.label])
    assert [trial.engine for trial in choice.trials] == [REFERENCE.label, FAST.label, FASTER.label]


def test_a_warning_may_be_enough(caplog: pytest.LogCaptureFixture) -> None:
    named = OpenVinoEngineConfig(precision=Precision.bf16, gate=Gate.warn)
    wrong = TrialRunner({FAST.label: Trial(FAST.label, 40, breaches=WRONG)})
    with caplog.at_level(logging.WARNING, "shardlens"):
        assert selection(named, wrong, named).choose(3, 10.0).engine == named
    assert "the reference leads by 0.41" in caplog.text


def test_a_named_precision_excludes_the_reference() -> None:
    auto = AutoEngineConfig(precision=Precision.bf16)
    slow = TrialRunner({FAST.label: Trial(FAST.label, 4)})
    assert selection(auto, slow, FAST).choose(3, 10.0).engine == FAST
    wrong = TrialRunner({FAST.label: Trial(FAST.label, 40, breaches=WRONG)})
    with pytest.raises(JobError, match=r"engine=auto, engine.precision=bf16: (?s:.*)engine.tolerance"):
        selection(auto, wrong, FAST).choose(3, 10.0)
    with pytest.raises(JobError, match=r"no such engine here: (?s:.*)engine=torch"):
        selection(auto, wrong).choose(3, 10.0)


@pytest.mark.parametrize(
    ("config", "others", "engine"),
    [
        (AutoEngineConfig(), [FAST], REFERENCE),
        (AutoEngineConfig(precision=Precision.bf16), [FAST, FASTER], FAST),
    ],
)
def test_without_a_sample_there_is_nothing_to_compare(
    config: EngineConfig, others: list[EngineConfig], engine: EngineConfig
) -> None:
    for num_sampled in (0, -1):
        choice = selection(config, TrialRunner(BENCH, num_sampled=num_sampled), *others).choose(1e6, 10.0)
        assert choice == Choice(engine, "there was nothing to compare")


@pytest.mark.parametrize("num_sampled", [0, -1])
def test_without_a_sample_a_named_engine_is_held_against_the_reference_on_noise(num_sampled: int) -> None:
    choice = selection(FAST, TrialRunner(BENCH, num_sampled=num_sampled), FAST).choose(3, 10.0)
    assert choice == Choice(FAST, "named, and it agrees with torch fp32, on 2 synthetic images")
    wrong = TrialRunner({FAST.label: Trial(FAST.label, 40, breaches=WRONG)}, num_sampled=num_sampled)
    with pytest.raises(JobError, match="its answers are not the answers of torch fp32, on 2 synthetic images"):
        selection(FAST, wrong, FAST).choose(3, 10.0)


def test_what_passed_with_a_warning_has_not_passed_the_gate() -> None:
    plan = SimpleNamespace(batch_size=32)
    keys = {gate: choice_key(replace(FAST, gate=gate, threads=1), plan, None) for gate in Gate}
    assert keys[Gate.stop] not in (keys[Gate.warn], keys[Gate.off])


def test_int8_needs_the_quantised_network_and_is_not_tried_in_a_short_job() -> None:
    model = Model("networks:tiny", checkpoint="tiny.pt")
    auto = AutoEngineConfig(tolerance=Tolerance(flip_ratio=0.05))
    for config in (auto, AutoEngineConfig()):
        # Neither the run nor the trials are used.
        assert _int8_graph(SimpleNamespace(job=SimpleNamespace(model=model)), None, config, work_s=1.0) is None
    in_int8 = OpenVinoEngineConfig(precision=Precision.int8)
    for graph in (None, b"graph"):
        trials = SimpleNamespace(recipe=Recipe(model, int8_graph=graph))
        assert _is_possible(in_int8, trials) is bool(graph)
        assert _is_possible(FAST, trials)
