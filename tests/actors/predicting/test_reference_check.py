from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import torch
from networks import tiny
from photos import jpeg

from actors.engines.configs import AutoEngineConfig, EngineConfig, Gate, OnnxEngineConfig, TorchEngineConfig
from actors.engines.tolerance import EXACT, Tolerance
from actors.errors import JobError
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = Tolerance(
    score_difference=0,
    mean_score_difference=0,
    tie_margin=0,
    flip_ratio=0,
    cosine=1,
    relative_error=0,
    output_error=0,
)
IMAGES = [jpeg(number) for number in range(3)]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny(10).state_dict(), tmp_path / "tiny.pt")
    return Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=40, crop=32))


def predict(model: Model, engine: EngineConfig) -> int:
    return Predictor(model, engine=engine).predict([b"no image", *IMAGES])["error"].null_count


def test_a_named_engine_that_agrees_predicts(model: Model) -> None:
    assert predict(model, OnnxEngineConfig(tolerance=EXACT)) == len(IMAGES)


def test_a_named_engine_that_does_not_agree_stops(model: Model) -> None:
    with pytest.raises(JobError, match=r"torch bf16: differs from torch fp32 on 3 images: .*differs"):
        predict(model, TorchEngineConfig(precision="bf16", tolerance=NOTHING))


@pytest.mark.parametrize(("gate", "said"), [(Gate.warn, "continuing"), (Gate.off, "is not compared")])
def test_a_gate_that_is_open_tells(model: Model, caplog: pytest.LogCaptureFixture, gate: Gate, said: str) -> None:
    with caplog.at_level(logging.WARNING, logger="shardlens"):
        engine = TorchEngineConfig(precision="bf16", tolerance=NOTHING, gate=gate)
        assert predict(model, engine) == len(IMAGES)
    assert said in caplog.text


def test_auto_is_for_jobs(model: Model) -> None:
    with pytest.raises(JobError, match="engine=auto"):
        predict(model, AutoEngineConfig())


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_an_impossible_batch_size_is_reported(model: Model, batch_size: int) -> None:
    with pytest.raises(JobError, match="batch_size="):
        Predictor(model, batch_size=batch_size)
    with pytest.raises(JobError, match="batch_size="):
        Predictor(model).predict(IMAGES, batch_size=batch_size)
