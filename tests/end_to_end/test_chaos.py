"""The short form of `make chaos`: a few kills on several Ray nodes, and misbehaving stores."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import chaos
import flaky
import pytest
from chaos import Place, RayNodes, Strike, Trial


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with chaos.ray_nodes(2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def local(nodes: RayNodes) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        chaos.write_images(Path(name))
        place = Place(f"{name}/images", f"{name}/out")
        chaos.clean_run(place, nodes)
        yield place


def check(trial: Trial) -> None:
    assert not trial.faults, trial
    assert trial.num_struck == len(trial.strikes), trial


def test_kills_change_no_row(local: Place, nodes: RayNodes) -> None:
    strikes = [
        Strike("worker", "decode.done", 2),
        Strike("node", "write.stands", 3),
        Strike("driver", "commit.cleaned", 1),
    ]
    check(chaos.run_trial(local, strikes, nodes))


@pytest.mark.long
def test_more_kills_and_a_bad_disk_change_no_row(local: Place, nodes: RayNodes) -> None:
    strikes = [
        Strike("node", "predict.started", 4),
        Strike("worker", "write.between", 1),
        Strike("slow", "write.syncing", 1),
        Strike("worker", "write.staged", 2),
        Strike("hang", "write.syncing", 3),
    ]
    check(chaos.run_trial(local, strikes, nodes))


@pytest.mark.long
def test_a_store_that_fails_now_and_then_changes_no_row(s3, nodes: RayNodes) -> None:  # noqa: ANN001
    chaos.write_images(s3)
    clean = chaos.s3_place(s3)
    chaos.clean_run(clean, nodes)
    with flaky.serve(s3.url, seed=3, share_of_bad_answers=0.1) as proxy:
        place = chaos.s3_place(s3, proxy.url)
        place.digest = clean.digest
        check(chaos.run_trial(place, [Strike("driver", "write.done", 4)], nodes))
        assert any(request.kind for request in proxy.requests)
