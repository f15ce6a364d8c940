from __future__ import annotations

from itertools import count, pairwise

from jobs.reporting.timeline import Timeline


def test_points_are_seconds_and_images() -> None:
    clock = iter([100.0, 100.5, 101.0])
    timeline = Timeline(clock=lambda: next(clock))
    assert timeline.points == []
    for num_done in (0, 8, 24):
        timeline.record(num_done)
    assert timeline.points == [(0.0, 0), (0.5, 8), (1.0, 24)]


def test_a_long_run_has_no_more_points_than_a_short_one() -> None:
    ticks = count(0.0, 0.5)
    timeline = Timeline(clock=lambda: next(ticks))
    for step in range(100_000):
        timeline.record(3 * step)
    points = timeline.points
    assert 100 <= len(points) <= 240
    assert points[0] == (0.0, 0)
    assert points[-1] == (49_999.5, 299_997)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(points[:-1])]
    assert max(gaps) <= 2 * min(gaps)
    assert all(done == 6 * seconds for seconds, done in points)
