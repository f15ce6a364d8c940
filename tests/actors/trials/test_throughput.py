from __future__ import annotations

import os
import time

import pyarrow as pa
import pytest

from actors.trials.throughput import STAMP, End, ends_of, stamped, steady_images_per_s


def test_a_stamp_tells_when_and_by_whom_a_block_was_done() -> None:
    before = time.time()
    blocks = [stamped(pa.table({"x": list(range(count))})) for count in (3, 5)]
    table = pa.concat_tables(reversed(blocks)).take([0, 7, 1, 2, 3, 4, 5, 6])  # in any order
    first, second = sorted(ends_of(table))
    assert before <= first.at_s <= second.at_s <= time.time()
    assert (first.num_images, second.num_images) == (3, 5)
    assert first.worker == second.worker
    assert first.worker.endswith(f":{os.getpid()}")
    assert table.drop_columns(list(STAMP)).column_names == ["x"]
    assert ends_of(table.slice(0, 0)) == []


def every(seconds: float, count: int, *, start: float = 100.0, worker: str = "a", num_images: int = 10) -> list[End]:
    return [End(start + number * seconds, num_images, worker) for number in range(count)]


def test_the_rate_counts_what_came_after_the_first_batch() -> None:
    assert steady_images_per_s(every(0.5, 9)) == pytest.approx(20)
    assert steady_images_per_s([End(98.0, 1000, "a"), *every(1, 9)]) == pytest.approx(9)


def test_a_worker_that_is_still_starting_does_not_count_against_the_rate() -> None:
    alone = every(1, 20, start=0)
    assert steady_images_per_s(alone) == pytest.approx(10)
    both = [*alone, *every(1, 11, start=9.5, worker="b")]
    # From 9.5 to 19.5: ten batches each.
    assert steady_images_per_s(both) == pytest.approx(20)


@pytest.mark.parametrize("ends", [[], every(1, 1), every(1, 8), [*every(1, 40), *every(1, 5, start=136, worker="b")]])
def test_too_few_batches_give_no_rate(ends: list[End]) -> None:
    assert steady_images_per_s(ends) is None
    assert steady_images_per_s(every(1, 4), fewest=3) == pytest.approx(10)


def test_the_last_batch_may_be_smaller() -> None:
    assert steady_images_per_s([*every(1, 9), End(109.0, 1, "a")]) == pytest.approx(81 / 9)
