from __future__ import annotations

import time

import numpy as np
import pytest

from actors.engines.configs import Precision, TorchEngineConfig
from actors.models.spec import Model
from actors.recipe import Recipe
from actors.sample.train import FOLDER, PREPROCESS
from actors.trials.comparison import Answers, Trial
from jobs.planning import trial_tasks
from jobs.planning.trial_tasks import rated

DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)


def test_on_cpus_the_rate_of_a_worker_is_that_of_a_thread_times_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers({}, np.arange(0))
    monkeypatch.setattr(trial_tasks, "try_engine", lambda *_, **__: (Trial("torch fp32", 10.0), answers))
    recipe = Recipe(DIGITS, TorchEngineConfig(precision=Precision.fp32, threads=8))
    pixels_nhwc = np.zeros((1, *PREPROCESS.size, 3), np.uint8)
    assert rated(recipe, pixels_nhwc, 32, time.process_time)[0].images_per_s == 80
    assert rated(recipe, pixels_nhwc, 32, time.perf_counter)[0].images_per_s == 10


def test_an_engine_is_rated_by_either_clock() -> None:
    recipe = Recipe(DIGITS, TorchEngineConfig(precision=Precision.fp32, threads=1))
    pixels_nhwc = np.zeros((8, *PREPROCESS.size, 3), np.uint8)
    for clock in (time.process_time, time.perf_counter):
        trial, answers = rated(recipe, pixels_nhwc, 4, clock)
        assert trial.images_per_s > 0
        assert len(answers.rows) == 8
