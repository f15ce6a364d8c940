from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pressed import images, save_pressed

from actors.engines.base import Engine, Pending, load_engine
from actors.engines.configs import TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.recipe import Recipe
from actors.sample.train import FOLDER, PREPROCESS
from actors.trials import engine_trial
from actors.trials.comparison import Answers
from actors.trials.engine_trial import measure_rates, try_engine

pytestmark = pytest.mark.slow

DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)
ENGINE = TorchEngineConfig(threads=1)


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *PREPROCESS.size, 3), np.uint8)


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (3, 8), (8, 8), (14, 8)])
def test_a_trial_gives_the_answers_of_a_run(count: int, batch_size: int) -> None:
    trial, answers = try_engine(Recipe(DIGITS, ENGINE), pixels(count), batch_size=batch_size)
    assert trial.engine == "torch auto"
    assert trial.images_per_s > 0
    assert trial.breaches == []
    assert answers.rows.tolist() == list(range(count))
    predictor = Predictor(DIGITS, engine=ENGINE, batch_size=batch_size)
    table = predictor.predict(list(pixels(count)), batch_size=batch_size)
    assert answers.outputs["output"].argmax(1).tolist() == table["label_id"].to_pylist()


@pytest.mark.parametrize("wrong", [(0, 5, 17), tuple(range(4)), tuple(range(4, 20))])
def test_images_that_fail_have_no_answers(tmp_path: Path, wrong: tuple[int, ...]) -> None:
    model = save_pressed(tmp_path)
    _, answers = try_engine(Recipe(model, ENGINE), images(20, wrong=wrong), batch_size=4)
    good = [row for row in range(20) if row not in wrong]
    assert answers.rows.tolist() == good
    _, right = try_engine(Recipe(model, ENGINE), images(20), batch_size=4)
    np.testing.assert_array_equal(answers.outputs["output"], right.outputs["output"][good])


class Counted:
    """An engine that counts its batches."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.num_batches = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def start(self, pixels_nhwc: np.ndarray) -> Pending:
        self.num_batches += 1
        return self._engine.start(pixels_nhwc)


@pytest.mark.parametrize(
    ("state", "batch_s", "num_batches"), [("new", 1.0, 2), ("new", 3.0, 1), ("loaded", 0.25, 3), ("loaded", 1.0, 1)]
)
def test_a_batch_that_takes_long_is_timed_once(
    state: str, batch_s: float, num_batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Counted(load_engine(ENGINE, DIGITS, None))
    monkeypatch.setattr(engine_trial, "load_engine", lambda *_, **__: engine)
    trial, _ = try_engine(
        Recipe(DIGITS, ENGINE),
        pixels(8),
        batch_size=8,
        loaded=engine if state == "loaded" else None,
        clock=lambda: batch_s * engine.num_batches,
    )
    assert (trial.images_per_s, engine.num_batches) == (8 / batch_s, num_batches)


def test_what_cannot_run_the_model_says_why() -> None:
    with pytest.raises(JobError, match="nothing"):
        try_engine(Recipe(replace(DIGITS, kwargs={"nothing": "such"}), ENGINE), pixels(2), batch_size=2)


def test_rates_are_found_by_batch_size() -> None:
    rates = measure_rates(Recipe(DIGITS, ENGINE), pixels(5), [2, 8])
    assert list(rates.images_per_s) == [2, 8]
    assert min(rates.images_per_s.values()) > 0
    assert rates.worker_bytes > 50_000_000
    with pytest.raises(JobError, match="nothing"):
        measure_rates(Recipe(replace(DIGITS, kwargs={"nothing": "such"}), ENGINE), pixels(2), [2])


class Slow:
    """An engine that needs 40 ms per image."""

    def __call__(self, pixels_nhwc: np.ndarray) -> None:
        time.sleep(0.04 * len(pixels_nhwc))


def test_batches_that_would_take_seconds_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_trial, "load_engine", lambda *_, **__: Slow())
    assert list(measure_rates(Recipe(DIGITS, ENGINE), pixels(5), [8, 128, 2]).images_per_s) == [2, 8]


def answers(*rows: int, wrong: float = 0.0) -> Answers:
    return Answers({"x": np.array(rows, np.float64) + wrong}, np.array(rows))
