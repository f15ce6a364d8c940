"""Fixtures for all tests: a guard against starting Ray, and an S3 server on demand."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import flaky
import pytest
import s3 as s3_server
from places import Place, local_place, s3_place

from jobs.cluster.config import Cluster
from jobs.cluster.ray_patches import lean_ray, lean_ray_data
from jobs.cluster.ray_start import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_configure() -> None:
    """Keeps the shared cluster on loopback and the user's own cache unchanged; must run before Ray's first import."""
    os.environ["SHARDLENS_CACHE"] = _CACHE.name
    # A shell that runs the tests in the background makes them ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Otherwise other load on this machine, such as the tests in the other process, starves Ray's workers.
    os.environ.setdefault("RAY_worker_niceness", "0")
    prepare(Cluster(), verbose=False)


_CACHE = tempfile.TemporaryDirectory()  # deleted at exit


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the end-to-end tests, and puts the files that start Ray first.

    They take longest, so the test processes then end at about the same time.
    """
    for item in items:
        if "end_to_end" in item.path.parts:
            item.add_marker("cluster")
    dear = {item.path for item in items if _may_start_ray(item)}
    items.sort(key=lambda item: item.path not in dear)


@pytest.fixture(autouse=True)
def no_ray(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that starts Ray, which takes seconds and a gigabyte, if it is neither end-to-end nor ``cluster``."""
    if _may_start_ray(request.node):
        yield
        return
    loaded = sys.modules.get("ray")
    was_running = loaded is not None and loaded.is_initialized()
    if loaded is not None:
        monkeypatch.setattr(loaded, "init", _refuse)
    yield
    loaded = sys.modules.get("ray")  # a test may have imported it
    if loaded is not None and loaded.is_initialized() and not was_running:
        loaded.shutdown()
        pytest.fail("a unit test started Ray")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3]:
    """One S3 server for all tests; each test uses its own keys."""
    with s3_server.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network as a bundle of onnx and safetensors, compared on 24 digits; must not be changed."""
    from bundles import export_sample  # noqa: PLC0415  brings PyTorch, which few tests need

    path: Path = tmp_path_factory.mktemp("exported") / "digits"
    export_sample(path, "export.formats=[onnx,safetensors]")
    return path


@pytest.fixture
def proxy(s3: s3_server.S3) -> Iterator[flaky.Flaky]:
    """A proxy in front of the S3 server that damages responses on request."""
    with flaky.serve(s3.url) as running:
        yield running


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a small Ray cluster with two CPUs, shared by all tests that may use Ray."""
    import ray  # noqa: PLC0415  few tests need it

    found = {"PYTHONPATH": f"{Path(__file__).parent / 'fixtures'}{os.pathsep}${{PYTHONPATH}}"}
    with lean_ray(metrics=True), lean_ray_data():
        context = ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=500_000_000,
            runtime_env={"env_vars": found},
        )  # fmt: skip
        yield context.address_info["address"]
        ray.shutdown()


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty folder, then an empty prefix on the S3 server: both must behave alike."""
    if request.param == "local":
        return local_place(tmp_path / "place")
    return s3_place(request.getfixturevalue("s3"))


def _may_start_ray(item: pytest.Item) -> bool:
    return item.get_closest_marker("cluster") is not None


def _refuse(*_: object, **__: object) -> None:
    pytest.fail("a unit test must not start Ray: mark it `cluster`, or put it under tests/end_to_end")
