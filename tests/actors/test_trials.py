from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished import add_photos, job_over, opened

from actors.agreement import Agreement
from actors.decode import Decode
from actors.engines.configs import TorchEngineConfig
from actors.errors import JobError
from actors.models import Model
from actors.predictor import Predictor
from actors.reader import ReadPlan
from actors.receipts import Piece
from actors.sample.train import FOLDER, PREPROCESS
from actors.storage import Storage
from actors.trials import Answers, Trial, hold_against, sample_pixels, try_engine

DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)
ENGINE = TorchEngineConfig(threads=1)


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *PREPROCESS.size, 3), np.uint8)


def test_a_sample_holds_the_images_that_can_be_decoded(tmp_path: Path) -> None:
    add_photos(tmp_path / "images", range(6))
    (tmp_path / "images" / "3b.jpg").write_bytes(b"no image")
    run = opened(job_over(tmp_path / "images", tmp_path / "out"))
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, 2)
    every = [Piece(shard, ((0, int(size)),)) for shard, size in enumerate(run.shards.sizes)]
    sample = sample_pixels(read, every)
    assert sample.shape == (6, *PREPROCESS.size, 3)
    assert sample.dtype == np.uint8
    assert len({image.tobytes() for image in sample}) == 6
    assert np.array_equal(sample, sample_pixels(read, every))
    assert sample_pixels(read, [Piece(0, ((1, 2),))]).shape[0] == 1
    assert sample_pixels(read, []).shape == (0, *PREPROCESS.size, 3)


@pytest.mark.parametrize(("count", "batch_size"), [(10, 4), (3, 8), (8, 8)])
def test_a_trial_gives_the_answers_of_a_run(count: int, batch_size: int) -> None:
    trial, answers = try_engine(ENGINE, DIGITS, pixels(count), batch_size=batch_size)
    assert trial.engine == "torch auto"
    assert trial.images_per_s > 0
    assert trial.breaches == []
    assert answers.rows.tolist() == list(range(count))
    predictor = Predictor(DIGITS, engine=ENGINE, batch_size=batch_size)
    table = predictor.predict(list(pixels(count)), batch_size=batch_size)
    assert answers.outputs["output"].argmax(1).tolist() == table["label_id"].to_pylist()


def test_a_slow_engine_tries_fewer_images() -> None:
    _, answers = try_engine(ENGINE, DIGITS, pixels(200), batch_size=8, max_s=0)
    assert len(answers.rows) == 64
    assert len(answers.outputs["output"]) == 64


def test_what_cannot_run_the_model_says_why() -> None:
    with pytest.raises(JobError, match="nothing"):
        try_engine(ENGINE, replace(DIGITS, kwargs={"nothing": "such"}), pixels(2), batch_size=2)


def equal(reference: dict[str, np.ndarray], candidate: dict[str, np.ndarray]) -> Agreement:
    difference = float(np.abs(reference["x"] - candidate["x"]).max())
    return Agreement({"difference": difference}, ["they differ"] if difference else [])


def answers(*rows: int, wrong: float = 0.0) -> Answers:
    return Answers({"x": np.array(rows, np.float64) + wrong}, np.array(rows))


def test_answers_are_compared_image_by_image() -> None:
    trial = Trial("some", 5.0, 1.0)
    held = hold_against(answers(0, 2, 3), trial, answers(0, 1, 2, 3), equal)
    assert held == replace(trial, figures={"difference": 0.0})
    assert hold_against(answers(0, 1), trial, answers(0, 1, wrong=0.5), equal).breaches == ["they differ"]
    missing = hold_against(answers(0, 1, 2), trial, answers(1), equal)
    assert missing.breaches == ["fails on 2 images that the reference can do"]
