from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from finished import add_photos, job_over, opened
from wrong_decoders import WrongDecoder

from actors.decoding.config import Decode, DecodeDevice
from actors.engines.configs import TorchEngineConfig
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.reading.reader import ReadPlan
from actors.recipe import Recipe
from actors.row_ranges import Piece
from actors.sample.train import FOLDER, PREPROCESS
from actors.storage.store import Storage
from actors.tasks.parity import Agreement
from actors.trials.decode_trial import DecodeTrial, try_decoders

DIGITS = Model("actors.sample.network:Net", checkpoint=str(FOLDER / "digits.safetensors"), preprocess=PREPROCESS)


def tried(folder: Path) -> DecodeTrial:
    add_photos(folder / "images", range(4))
    run = opened(job_over(folder / "images", folder / "out"))
    read = ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, 2)
    every = [Piece(shard, ((0, int(size)),)) for shard, size in enumerate(run.shards.sizes)]
    return try_decoders(read, every, Recipe(DIGITS, TorchEngineConfig(threads=1)), alike)


def alike(reference: dict[str, np.ndarray], candidate: dict[str, np.ndarray]) -> Agreement:
    assert len(reference["output"]) == len(candidate["output"]) == 4
    return Agreement()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    [breach] = tried(tmp_path).breaches
    assert breach.startswith("decode.device=gpu: ")


def test_a_gpu_that_decodes_an_image_wrongly_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(limits: Decode, preprocess: Preprocess) -> WrongDecoder | None:
        return WrongDecoder(limits, preprocess, wrong=2) if limits.device is DecodeDevice.gpu else None

    monkeypatch.setattr("actors.trials.sampling.load_decoder", load)
    [breach] = tried(tmp_path).breaches
    assert re.fullmatch("shard 1: .*/images/2.jpg: the GPU gives a single colour, .*", breach)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_both_are_timed_and_agree(tmp_path: Path) -> None:
    trial = tried(tmp_path)
    assert trial.breaches == []
    assert trial.cpu_s > 0
    assert trial.gpu_s > 0
