"""Work that the driver does ahead, for a small network."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finished import add_photos, job_over
from networks import tiny

from actors.engines.configs import AutoEngineConfig, EngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.engines.hardware import hardware
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.storage.store import Storage
from actors.trials.comparison import Trial
from jobs.cluster.config import Cluster
from jobs.cluster.local_ray import LocalRay
from jobs.planning.engine_cache import Choice, KeptChoice
from jobs.planning.export_ahead import export_ahead, preload_ahead
from jobs.runs.opening import Run, open_run
from jobs.runs.preflight import preflight


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exports"


def run_with(folder: Path, engine: EngineConfig, **changes: object) -> Run:
    torch.manual_seed(0)
    torch.save(tiny(10).state_dict(), folder / "tiny.pt")
    add_photos(folder / "images", range(3))
    model = Model("networks:tiny", checkpoint=str(folder / "tiny.pt"), preprocess=Preprocess(resize=40, crop=32))
    job = replace(job_over(folder / "images", folder / "out"), model=model, engine=engine)
    return replace(open_run(job, preflight(job), Storage()), job=replace(job, **changes))


@pytest.mark.parametrize(
    ("engine", "num_missing", "is_exported"),
    [
        (AutoEngineConfig(), 10**9, True),
        (AutoEngineConfig(), 3, True),  # workers start without PyTorch
        (OpenVinoEngineConfig(), 3, True),
        (TorchEngineConfig(), 10**9, False),
    ],
)
def test_a_network_is_exported_where_the_first_trial_needs_it(
    tmp_path: Path, cache: Path, engine: EngineConfig, num_missing: int, *, is_exported: bool
) -> None:
    export_ahead(run_with(tmp_path, engine), num_missing=num_missing)
    assert len(list(cache.glob("*/model.xml"))) == is_exported


@pytest.mark.parametrize(("cpu_features", "is_exported"), [(("amx_bf16",), True), ((), False)])
def test_a_precision_that_the_reference_lacks_is_exported_however_small_the_job(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, cpu_features: tuple[str, ...], *, is_exported: bool
) -> None:
    cpu = replace(hardware(with_gpu=False), cpu="GenuineIntel", cpu_features=cpu_features)
    monkeypatch.setattr("jobs.planning.export_ahead.hardware", lambda **_: cpu)
    export_ahead(run_with(tmp_path, AutoEngineConfig(precision=Precision.bf16)), num_missing=3)
    assert len(list(cache.glob("*/model.xml"))) == is_exported


def test_nodes_of_a_cluster_export_for_themselves(tmp_path: Path, cache: Path) -> None:
    run = run_with(tmp_path, OpenVinoEngineConfig(), cluster=Cluster(address="ray://head:10001"))
    export_ahead(run, num_missing=10**9)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("engine", "num_missing", "modules"),
    [
        (AutoEngineConfig(), 3, []),  # a graph is tried first
        (AutoEngineConfig(), 10**9, []),
        (AutoEngineConfig(precision=Precision.bf16), 3, []),
        (TorchEngineConfig(), 10**9, ["torch"]),
        (OpenVinoEngineConfig(), 3, []),
    ],
)
def test_pytorch_is_imported_ahead_where_workers_are_sure_to_need_it(
    tmp_path: Path, engine: EngineConfig, num_missing: int, modules: list[str]
) -> None:
    assert preloaded(run_with(tmp_path, engine), num_missing) == modules


def test_a_small_job_whose_network_is_not_loaded_needs_pytorch_unless_engines_were_compared(
    tmp_path: Path, cache: Path
) -> None:
    run = run_with(tmp_path, AutoEngineConfig())
    again = run_with(tmp_path, AutoEngineConfig())
    assert (run.checked.network is None, again.checked.network is None) == (False, True)
    assert preloaded(again, 3) == ["torch"]
    compared = Choice(OpenVinoEngineConfig(), "", [Trial("torch fp32", 1.0), Trial("openvino auto", 2.0)], 32)
    KeptChoice(
        replace(again.paths, root=str(tmp_path / "other")),
        again.storage,
        "",
        hardware(with_gpu=False),
        again.record.inventory_digest,
    ).write(compared)
    assert preloaded(again, 3) == []
    shutil.rmtree(cache.with_name("choices"))
    assert preloaded(again, 3) == ["torch"]
    KeptChoice(again.paths, again.storage, "", hardware(with_gpu=False)).write(compared)
    assert preloaded(again, 3) == []


def preloaded(run: Run, num_missing: int) -> list[str]:
    ray = LocalRay(Cluster(), verbose=False)
    preload_ahead(run, ray, num_missing=num_missing)
    return ray._preloaded
