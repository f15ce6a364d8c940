from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from networks import tiny
from onnx_models import SIDE, save_onnx

from actors.engines.base import _cpu_quota, default_threads, describe, load_engine
from actors.engines.configs import Device, OnnxEngineConfig, Precision, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from pathlib import Path

PREPROCESS = Preprocess(resize=SIDE, crop=SIDE)


@pytest.fixture
def state_dict(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    return Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=PREPROCESS)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    save_onnx(tiny(), tmp_path / "tiny.onnx")
    return Model(checkpoint=str(tmp_path / "tiny.onnx"), preprocess=PREPROCESS)


def libraries_after(code: str, *arguments: str) -> set[str]:
    code = f"import sys\n{code}\nprint(*sys.modules.keys() & {{'torch', 'onnxruntime', 'onnx'}})"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_config_costs_no_library() -> None:
    assert libraries_after("import actors.engines.base") == set()


def test_an_engine_brings_no_library_of_another(onnx_file: Model) -> None:
    code = """
from actors.engines.base import load_engine
from actors.engines.configs import OnnxEngineConfig
from actors.models.spec import Model
from actors.preprocess import Preprocess
load_engine(OnnxEngineConfig(), Model(checkpoint=sys.argv[1], preprocess=Preprocess(resize=32, crop=32)))
"""
    assert libraries_after(code, onnx_file.checkpoint) == {"onnxruntime", "onnx"}


def test_both_engines_give_what_the_plain_network_gives(state_dict: Model, onnx_file: Model) -> None:
    network = tiny().eval()
    network.load_state_dict(torch.load(state_dict.checkpoint))
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    normalised = (pixels / 255 - PREPROCESS.mean) / PREPROCESS.std
    with torch.no_grad():
        wanted = network(torch.from_numpy(normalised.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    by_torch = load_engine(TorchEngineConfig(), state_dict)(pixels)
    by_onnx = load_engine(OnnxEngineConfig(), onnx_file)(pixels)
    np.testing.assert_allclose(by_torch["output"], wanted, atol=1e-5)
    np.testing.assert_allclose(by_onnx["logits"], wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["torch", "onnxruntime"])
def test_on_a_cpu_what_is_started_is_done_and_does_not_change(state_dict: Model, onnx_file: Model, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, SIDE, SIDE, 3), dtype=np.uint8)
    if kind == "torch":
        engine = load_engine(TorchEngineConfig(device=Device.cpu), state_dict)
    else:
        engine = load_engine(OnnxEngineConfig(device=Device.cpu), onnx_file)
    assert not engine.overlaps
    wanted = [engine(batch) for batch in pixels]
    pending = [engine.start(batch) for batch in pixels]
    pixels[:] = 0
    for one, outputs in zip(pending, wanted, strict=True):
        found = one.result()
        assert found.keys() == outputs.keys()
        for name, output in outputs.items():
            np.testing.assert_array_equal(found[name], output)


def test_the_wrong_engine_is_reported_with_the_right_one(onnx_file: Model) -> None:
    with pytest.raises(JobError, match=r"engine=torch: cannot run .*tiny\..*\n  cure: choose engine=onnxruntime"):
        load_engine(TorchEngineConfig(), onnx_file)


def test_a_precision_that_no_provider_has_is_reported_before_anything_is_made(state_dict: Model) -> None:
    config = OnnxEngineConfig(precision=Precision.bf16)
    with pytest.raises(
        JobError, match=r"engine\.precision=bf16: .*tiny\.pt.*\n  cure: choose engine=torch or openvino"
    ):
        config.check(state_dict)
    for precision in (Precision.auto, Precision.fp32, Precision.fp16):
        OnnxEngineConfig(precision=precision).check(state_dict)


def test_a_report_learns_what_ran(state_dict: Model) -> None:
    said = describe(load_engine(TorchEngineConfig(device=Device.cpu, threads=1), state_dict))
    assert {"engine": "torch", "device": "cpu", "precision": "fp32", "threads": "1"}.items() <= said.items()
    assert said["torch"] == torch.__version__
    assert {type(value) for value in said.values()} == {str}  # who is told must not need the library


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("1", 1)])
def test_threads_are_what_the_process_was_given(monkeypatch: pytest.MonkeyPatch, given: str, threads: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert default_threads() == threads


@pytest.mark.parametrize("given", ["", "0", "4,2"])
def test_without_a_number_threads_are_at_most_the_cpus(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert 1 <= default_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("text", "cpus"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("400000 100000\n", 4)])
def test_a_containers_quota_is_read(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert _cpu_quota(tmp_path / "cpu.max") == cpus


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense"])
def test_no_quota_is_no_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert _cpu_quota(tmp_path / "cpu.max") > 1000
    assert _cpu_quota(tmp_path / "nowhere") > 1000
