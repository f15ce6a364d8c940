from __future__ import annotations

from dataclasses import replace

import pytest

from actors.errors import JobError
from jobs.cluster.resources import Resources
from jobs.planning.capacity import check_room
from jobs.planning.planner import Plan

APART = Plan(
    is_fused=False,
    workers=2,
    worker_cpus=1.0,
    worker_gpus=1,
    read_cpus=1.0,
    writers=2,
    batch_size=100,
    piece_rows=100,
    rows_per_part=1000,
    block_bytes=10**9,
    threads=1,
)
FUSED = replace(APART, is_fused=True, worker_gpus=0, batches_a_block=6)
HEAD = Resources(0, 0, 10**6, 10**6)


def cluster(*nodes: Resources) -> Resources:
    return Resources(sum(node.cpus for node in nodes), sum(node.gpus for node in nodes), nodes=(HEAD, *nodes))


def test_a_store_must_hold_what_its_workers_have_in_flight() -> None:
    check_room(APART, cluster(Resources(8, 2, 10**12, 18 * 10**9)))
    check_room(APART, cluster(*[Resources(8, 1, 10**12, 9 * 10**9)] * 2))
    said = r"batch_size=100: a batch has 1,000 MB of pixels, .* need 18.0 GB; its object store is 17.9 GB"
    with pytest.raises(JobError, match=said):
        check_room(APART, cluster(Resources(8, 2, 10**12, 17_900_000_000)))
    check_room(FUSED, cluster(Resources(8, 0, 10**12, 10**6)))


def test_workers_that_share_a_gpu_share_a_store() -> None:
    sharing = replace(APART, workers=6, worker_gpus=0.3333)
    check_room(sharing, cluster(Resources(8, 1, 10**12, 27 * 10**9)))
    with pytest.raises(JobError, match=r"need 27.0 GB; its object store is 26.9 GB"):
        check_room(sharing, cluster(Resources(8, 1, 10**12, 26_900_000_000)))


def test_memory_must_hold_the_batches_of_all_workers_of_a_node() -> None:
    check_room(FUSED, cluster(Resources(8, 0, 20 * 10**9, 1)))
    with pytest.raises(JobError, match=r"need 20.0 GB; its memory for workers is 19.0 GB"):
        check_room(FUSED, cluster(Resources(8, 0, 19 * 10**9, 1)))
    check_room(FUSED, cluster(*[Resources(1, 0, 10 * 10**9, 1)] * 2))


def test_what_is_not_known_is_enough() -> None:
    check_room(APART, Resources(8, 2))
    check_room(FUSED, Resources(8, 0))
