from __future__ import annotations

from actors.predicting.batch_size_backoff import BatchSizeBackoff


def well(backoff: BatchSizeBackoff, number: int) -> list[int]:
    """Returns the number of halvings after each of ``number`` good batches."""
    numbers = []
    for _ in range(number):
        backoff.record_success()
        numbers.append(backoff.num_halvings)
    return numbers


def test_full_batches_stay_full() -> None:
    assert set(well(BatchSizeBackoff(), 100)) == {0}


def test_each_failure_halves_and_eight_batches_that_go_well_double() -> None:
    backoff = BatchSizeBackoff()
    for number in (1, 2):
        backoff.record_failure()
        assert backoff.num_halvings == number
    assert well(backoff, 16) == [2] * 7 + [1] * 8 + [0]


def test_a_failure_after_growth_doubles_the_wait_up_to_a_limit() -> None:
    backoff, waits = BatchSizeBackoff(), []
    for _ in range(10):
        backoff.record_failure()
        waits.append(1)
        while well(backoff, 1) == [1]:
            waits[-1] += 1
    assert waits == [8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_calm_at_full_size_forgets_the_long_wait() -> None:
    backoff = BatchSizeBackoff()
    for _ in range(2):
        backoff.record_failure()
        well(backoff, backoff.wait)
    assert backoff.wait == 16
    well(backoff, 16)
    assert backoff.wait == 8
