"""Progress line."""

from __future__ import annotations

import pytest

from jobs.reporting.moment import Moment


@pytest.mark.parametrize(
    ("moment", "line"),
    [
        (Moment(0, 0, 100, 0.0), "0 of 100 images, 0 errors"),
        (Moment(50, 2, 200, 5.0), "50 of 200 images, 5.0 images/s, 2 errors, 0:30 left"),
        (Moment(1_000, 0, 11_001_000, 1_000.0), "1,000 of 11,001,000 images, 1,000.0 images/s, 0 errors, 3:03:20 left"),
    ],
)
def test_the_line_shows_done_total_rate_errors_and_time_left(moment: Moment, line: str) -> None:
    assert str(moment) == line
