from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from disks import fill, small_disk

from actors.engines.configs import (
    Device,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    Provider,
    TorchEngineConfig,
)
from actors.engines.hardware import Hardware
from actors.errors import OutputError
from actors.storage.store import Storage
from actors.trials.comparison import Trial
from actors.trials.decode_trial import DecodeTrial
from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs
from actors.writing.run_paths import RunPaths
from jobs.planning.calibration import Calibration
from jobs.planning.engine_cache import Choice, KeptChoice, known_choice

HARDWARE = Hardware("EPYC", ("avx2",), None, None, (("torch", "2.13.0"),))
TRIALS = [
    Trial("torch fp32", 27.5),
    Trial("torch bf16", 3.0, {"score_difference": 0.25}, ["the best class of image 17 differs"]),
]


def place(root: Path, **changes: object) -> KeptChoice:
    return replace(KeptChoice(RunPaths(str(root), "mabc", "r1"), Storage(), "auto", HARDWARE), **changes)


@pytest.mark.parametrize(
    "engine",
    [
        TorchEngineConfig(precision=Precision.bf16, compile=True, threads=3),
        TorchEngineConfig(precision=Precision.fp16, compile=True, piece=128, cuda_graphs=True),
        OnnxEngineConfig(precision=Precision.fp16, provider=Provider.tensorrt, device=Device.cuda),
        OpenVinoEngineConfig(precision=Precision.fp32),
    ],
)
def test_a_choice_comes_back_as_it_was(engine: EngineConfig, tmp_path: Path) -> None:
    calibration = Calibration(Costs(0.0001, 0.001), Rates({8: 20.0, 32: 27.5}, 10**9))
    choice = Choice(engine, "the fastest", TRIALS, 256, calibration, DecodeTrial(0.002, 0.0001, ["differs"]))
    assert place(tmp_path).read() is None
    place(tmp_path).write(choice)
    assert place(tmp_path).read() == choice


def test_another_run_has_the_same_choice_and_all_else_another(tmp_path: Path) -> None:
    place(tmp_path).write(Choice(TorchEngineConfig(), "the fastest", TRIALS, 256))
    assert place(tmp_path, paths=RunPaths(str(tmp_path), "mabc", "r2")).read()
    assert not place(tmp_path, paths=RunPaths(str(tmp_path), "mxyz", "r1")).read()
    assert not place(tmp_path, asked="auto bf16").read()
    assert not place(tmp_path, hardware=replace(HARDWARE, cpu="Xeon")).read()


def test_another_output_of_the_same_images_on_this_node_has_the_same_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    first = place(tmp_path / "a", inventory_digest="i1")
    for engine in (TorchEngineConfig(), OpenVinoEngineConfig()):  # the later one counts
        first.write(Choice(engine, "the fastest", TRIALS, 256))
    second = place(tmp_path / "b", inventory_digest="i1")
    assert second.read() is None
    assert second.read_node() == Choice(OpenVinoEngineConfig(), "the fastest", TRIALS, 256)
    for changes in (
        {"inventory_digest": "i2"},
        {"inventory_digest": ""},
        {"asked": "auto bf16"},
        {"hardware": replace(HARDWARE, cpu="Xeon")},
        {"paths": RunPaths(str(tmp_path), "mxyz", "r1")},
    ):
        assert replace(second, **changes).read_node() is None, changes

    [file] = (tmp_path / "cache" / "choices").glob("*/choice.json")
    file.write_text("{")
    assert second.read_node() is None
    in_int8 = Choice(OpenVinoEngineConfig(precision=Precision.int8), "named", TRIALS, 256)
    first.write(in_int8)  # its graph stays with the output
    assert (first.read(), second.read_node()) == (in_int8, None)
    monkeypatch.setenv("SHARDLENS_CACHE", "/proc/nowhere")
    first.write(in_int8)
    place(tmp_path / "c", inventory_digest="i1").write(Choice(TorchEngineConfig(), "the fastest", TRIALS, 256))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        "[" * 200_000,
        '{"why": "", "why": ""}',
        '{"engine": {"name": "magic"}, "why": "", "trials": []}',
    ],
)
def test_what_is_not_understood_is_told_and_left(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place(tmp_path).write(Choice(TorchEngineConfig(), "the fastest"))
    [file] = (tmp_path / "_engines").iterdir()
    file.write_text(content)
    assert place(tmp_path).read() is None
    assert "comparing engines again" in caplog.text


def test_what_no_number_can_say_is_kept_too(tmp_path: Path) -> None:
    broken = Trial("torch bf16", 3.0, {"score_difference": float("inf")}, ["no score is finite"])
    choice = Choice(TorchEngineConfig(), "the fastest", [broken], 256)
    place(tmp_path).write(choice)
    assert place(tmp_path).read() == choice


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.raises(OutputError, match="cannot be written: the disk is full"):
            place(disk).write(Choice(TorchEngineConfig(), "the fastest", TRIALS, 256))


def test_a_person_can_read_it(tmp_path: Path) -> None:
    place(tmp_path).write(Choice(TorchEngineConfig(compile=True), "the fastest", TRIALS, 256))
    [file] = (tmp_path / "_engines").iterdir()
    content = json.loads(file.read_text())
    assert content["engine"] == {
        "name": "torch", "precision": "auto", "device": "auto", "threads": None, "compile": True,
        "piece": None, "cuda_graphs": False,
    }  # fmt: skip
    assert content["trials"][1]["breaches"] == ["the best class of image 17 differs"]
    assert content["hardware"]["cpu"] == "EPYC"


def test_the_choice_with_most_images_is_known_for_the_model_and_the_hardware(tmp_path: Path) -> None:
    assert known_choice(str(tmp_path), "mabc", HARDWARE, Storage()) is None
    for asked, num_images in (("a", 64), ("b", 256), ("c", 32)):
        place(tmp_path, asked=asked).write(Choice(TorchEngineConfig(), asked, TRIALS, num_images))
    place(tmp_path, asked="d").write(Choice(OpenVinoEngineConfig(precision=Precision.int8), "d", TRIALS, 512))
    place(tmp_path, asked="e", paths=RunPaths(str(tmp_path), "mother", "r1")).write(
        Choice(TorchEngineConfig(), "e", TRIALS, 512)
    )
    (tmp_path / "_engines" / "mabc-damaged.json").write_text("{")
    found = known_choice(str(tmp_path), "mabc", HARDWARE, Storage())
    assert found is not None
    assert found.why == "b"
    assert known_choice(str(tmp_path), "mabc", replace(HARDWARE, cpu="Xeon"), Storage()) is None
