"""The baseline loop over real JPEGs with a real network, in this process and in a separate one."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from finished import add_photos, job_over, opened
from networks import tiny

from actors.columns import LOCATION, PIXELS, STAGE, URI
from actors.engines.configs import TorchEngineConfig
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.recipe import Recipe
from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from actors.trials.baseline_loop import PlainLoop, run_process
from actors.trials.throughput import STAMP, ends_of

PREPROCESS = Preprocess(resize=[24, 24], crop=None)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> PlainLoop:
    folder = tmp_path_factory.mktemp("loop")
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), folder / "tiny.pt")
    add_photos(folder / "images", range(7))
    (folder / "images" / "3b.jpg").write_bytes(b"no image")
    shards = opened(job_over(folder / "images", folder / "out")).shards  # two images each
    model = Model("networks:tiny", checkpoint=str(folder / "tiny.pt"), preprocess=PREPROCESS)
    return PlainLoop(shards, Storage(), Recipe(model, TorchEngineConfig(threads=1), Classify(top_k=2)), 2)


def pieces(loop: PlainLoop) -> list[Piece]:
    return [Piece(shard, ((0, 2),)) for shard in range(loop.shards.num_shards)]


def test_each_image_is_read_decoded_and_predicted(loop: PlainLoop) -> None:
    said: list[str] = []
    rows = loop.run(pieces(loop), is_ready=lambda: said.append("ready"))
    assert said == ["ready"]
    assert len(rows) == 8
    assert not {PIXELS, *LOCATION} & set(rows.column_names)
    assert sum(end.num_images for end in ends_of(rows)) == 8
    assert rows[STAGE].to_pylist().count("decode") == 1
    predictor = Predictor(loop.recipe, batch_size=2)
    expected = predictor.predict(rows[URI].to_pylist(), batch_size=2)
    for name in ("label_id", "score", "top_scores", "stage"):
        assert rows[f"_{name}" if name == "stage" else name].to_pylist() == expected[name].to_pylist()


def test_without_an_engine_it_ends_with_the_decoder(loop: PlainLoop) -> None:
    rows = replace(loop, predicts=False).run(pieces(loop), is_ready=lambda: None)
    assert len(rows) == 8
    assert "label_id" not in rows.column_names
    assert PIXELS not in rows.column_names
    assert set(STAMP) <= set(rows.column_names)


def test_nothing_is_left_where_others_took_all(loop: PlainLoop) -> None:
    assert len(replace(loop, predicts=False).run([], is_ready=lambda: None)) == 0


def test_processes_take_each_piece_once(loop: PlainLoop, tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    taken, start = spawning.Value("q", 2), spawning.Barrier(1)  # another process has taken two
    part = tmp_path / "part.parquet"
    before = signal.getsignal(signal.SIGINT)
    run_process(replace(loop, predicts=False), pieces(loop), part, taken, start)
    signal.signal(signal.SIGINT, before)
    rows: pa.Table = pq.read_table(part)
    assert rows[URI].to_pylist() == [uri for shard in (2, 3) for uri in loop.shards.load(shard)[URI].to_pylist()]
    assert taken.value == 5


def test_it_brings_no_framework_in() -> None:
    code = "import sys, actors.trials.baseline_loop; print({'ray', 'hydra', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
