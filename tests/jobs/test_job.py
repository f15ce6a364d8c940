"""Error budget of a job."""

from __future__ import annotations

import pytest

from jobs.job import ErrorBudget


@pytest.mark.parametrize(
    ("num_images", "num_errors", "is_exceeded"),
    [(99, 99, False), (100, 5, False), (100, 6, True), (10**9, 5 * 10**7, False), (10**9, 5 * 10**7 + 1, True)],
)
def test_the_ratio_applies_from_the_minimum_sample_on(num_images: int, num_errors: int, *, is_exceeded: bool) -> None:
    assert ErrorBudget().is_exceeded(num_images, num_errors) == is_exceeded


def test_the_count_applies_from_the_first_image_on() -> None:
    assert ErrorBudget(max_count=0).is_exceeded(1, 1)
    assert not ErrorBudget(max_count=1).is_exceeded(1, 1)
