from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from actors.reading.ordered_requests import OrderedRequests

LOCAL, REMOTE = pa.chunked_array([["/a", None]]), pa.chunked_array([["/a", "s3://b/a", None]])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as running:
        yield running


def test_results_of_remote_files_come_in_order_from_threads_that_run_together(pool: ThreadPoolExecutor) -> None:
    all_run = threading.Barrier(4, timeout=30)

    def read(number: int) -> int:
        all_run.wait()
        return number

    assert list(OrderedRequests(pool, 4).map(read, range(16), uris=REMOTE)) == list(range(16))


def test_local_files_are_read_by_the_caller_itself(pool: ThreadPoolExecutor) -> None:
    threads = OrderedRequests(pool, 4).map(lambda _: threading.get_ident(), range(5), uris=LOCAL)
    assert set(threads) == {threading.get_ident()}


def test_no_more_are_in_flight_than_asked_for(pool: ThreadPoolExecutor) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    results = OrderedRequests(pool, 3).map(lambda number: number, items(), uris=REMOTE)
    assert next(results) == 0
    assert taken == [0, 1, 2]


def test_an_error_of_a_request_comes_at_its_place(pool: ThreadPoolExecutor) -> None:
    def read(number: int) -> float:
        return 1 / number

    results = OrderedRequests(pool, 2).map(read, [1, 0, 2], uris=REMOTE)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
