from __future__ import annotations

from actors.predicting.batch_size_backoff import BatchSizeBackoff


def well(halvings: BatchSizeBackoff, number: int) -> list[int]:
    """How often batches are halved after each of so many that go well."""
    numbers = []
    for _ in range(number):
        halvings.record_success()
        numbers.append(halvings.num_halvings)
    return numbers


def test_full_batches_stay_full() -> None:
    assert set(well(BatchSizeBackoff(), 100)) == {0}


def test_each_failure_halves_and_eight_batches_that_go_well_double() -> None:
    halvings = BatchSizeBackoff()
    for number in (1, 2):
        halvings.record_failure()
        assert halvings.num_halvings == number
    assert well(halvings, 16) == [2] * 7 + [1] * 8 + [0]


def test_a_failure_after_growth_doubles_the_wait_up_to_a_limit() -> None:
    halvings, waits = BatchSizeBackoff(), []
    for _ in range(10):
        halvings.record_failure()
        waits.append(1)
        while well(halvings, 1) == [1]:
            waits[-1] += 1
    assert waits == [8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]


def test_calm_at_full_size_forgets_the_long_wait() -> None:
    halvings = BatchSizeBackoff()
    for _ in range(2):
        halvings.record_failure()
        well(halvings, halvings.wait)
    assert halvings.wait == 16
    well(halvings, 16)
    assert halvings.wait == 8
