"""The quantised network of an output, and the choice of an int8 engine by trials on a real cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from digit_images import DIGITS, write_digits
from finished import another, job_over, opened

from actors.decoding.config import Decode
from actors.engines.configs import AutoEngineConfig, EngineConfig, Gate, OpenVinoEngineConfig, Precision
from actors.errors import JobError
from actors.reading.reader import ReadPlan
from actors.sample.train import PREPROCESS
from actors.storage.store import Storage
from jobs.planning.engine_cache import Choice
from jobs.planning.engine_selection import choose_engine
from jobs.planning.kept_graph import int8_graph
from jobs.planning.planner import Plan
from jobs.planning.trial_runner import TrialRunner
from jobs.runs.opening import Run

PLAN = Plan(
    is_fused=True, workers=1, worker_cpus=0.5, worker_gpus=0, read_cpus=0, writers=2, batch_size=8, piece_rows=8,
    rows_per_part=40, block_bytes=8 * 32 * 32 * 3, threads=1,
)  # fmt: skip
INT8 = OpenVinoEngineConfig(precision=Precision.int8)


def run_with(folder: Path, engine: EngineConfig = INT8, num_images: int = 40, **changes: str) -> Run:
    write_digits(folder / "images", num_images)
    job = replace(job_over(folder / "images", folder / "out"), model=DIGITS, engine=engine)
    return opened(job, another(**changes))


def read_plan(run: Run) -> ReadPlan:
    return ReadPlan(run.shards.without_sizes(), Storage(), Decode(), PREPROCESS, PLAN.batch_size)


def choose(run: Run) -> Choice:
    return choose_engine(run, PLAN, read_plan(run), num_missing=40)[0]


class Quantising:
    """Returns a new graph each time."""

    num_made = 0

    def quantise(self) -> bytes:
        self.num_made += 1
        return b"graph %d" % self.num_made


def test_the_first_graph_of_an_output_and_model_stays(tmp_path: Path) -> None:
    trials = Quantising()
    run = run_with(tmp_path)
    assert int8_graph(run, trials) == b"graph 1"
    assert int8_graph(run, trials) == b"graph 1"
    assert (tmp_path / "out" / "_engines" / "mabc-int8.onnx").read_bytes() == b"graph 1"
    assert int8_graph(run_with(tmp_path, fingerprint="mdef"), trials) == b"graph 2"


def test_drivers_that_quantise_at_once_take_the_same_graph(tmp_path: Path) -> None:
    class Beaten(Quantising):
        def quantise(self) -> bytes:
            int8_graph(run, Quantising())
            return b"too late"

    run = run_with(tmp_path)
    assert int8_graph(run, Beaten()) == b"graph 1"


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_an_int8_engine_is_chosen_if_its_answers_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    for engine in (INT8, AutoEngineConfig(precision=Precision.int8)):
        choice = choose(run_with(tmp_path, engine))
        assert choice.engine.label == "openvino int8"
        assert choice.int8_graph == (tmp_path / "out" / "_engines" / "mabc-int8.onnx").read_bytes()
        assert choice.trials[1].breaches == []
        json.dumps(choice.to_json())
    again = choose(run_with(tmp_path))
    assert (again.int8_graph, again.trials) == (choice.int8_graph, choose(run_with(tmp_path)).trials)
    with pytest.raises(JobError, match=r"engine=openvino, engine\.precision=int8: its answers are not the answers of"):
        choose(run_with(tmp_path, replace(INT8, tolerance="exact")))
    unchecked = choose(run_with(tmp_path, replace(INT8, gate=Gate.off)))
    assert (unchecked.why, unchecked.int8_graph) == ("named", choice.int8_graph)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_no_image_to_quantise_on_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "bad.png").write_bytes(b"no image")
    run = run_with(tmp_path, num_images=0)
    trials = TrialRunner(run, PLAN, read_plan(run))
    with pytest.raises(JobError, match=r"no image of the dataset could be read to quantise on\n.*fp32"):
        trials.quantise()
