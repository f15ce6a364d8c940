from __future__ import annotations

import pytest
from pages import EXECUTION, VERDICT, facts_of

from jobs.pages.pace import pace, rates, thinned


def test_stages_phases_and_the_limit_are_shares() -> None:
    found = pace(facts_of())
    assert found is not None
    assert found.verdict == "Speed was limited by decoding; the stages alone could reach 250 images/s."
    assert [(one.name, one.value) for one in found.stages] == [
        ("reading", "10.0 %"),
        ("decoding", "60.0 %"),
        ("the model", "30.0 %"),
    ]
    assert [(one.name, one.share) for one in found.phases] == [("checks", 0.2), ("prediction", 0.8)]
    assert [one.value for one in found.limit] == ["80.0 %", "20.0 %"]
    assert list(found.advice) == ["twice the CPUs (4): 1.9 times as fast", "a faster engine"]
    assert found.throughput is not None
    assert "at most 4" in found.throughput.text


def test_throughput_is_that_of_each_interval() -> None:
    assert rates([[0.0, 0], [1.0, 2], [3.0, 10]]) == [(0.0, 2.0), (1.0, 2.0), (3.0, 4.0)]
    assert rates([[1.0, 5]]) == rates([[1.0, 5], [1.0, 9]]) == []


def test_a_chart_has_few_points_from_the_first_to_the_last() -> None:
    points = [(float(second), second) for second in range(100)]
    kept = thinned(points)
    assert (len(kept), kept[0], kept[-1]) == (25, points[0], points[-1])
    assert thinned(points[:3]) == points[:3]
    assert thinned([]) == []


@pytest.mark.parametrize("timeline", [[], [[0.0, 0]], [[0.0, 0], [1.0, 4]]])
def test_a_job_of_a_moment_has_no_throughput_over_time(timeline: list[list[float]]) -> None:
    found = pace(facts_of(execution={**EXECUTION, "timeline": timeline}, verdict={**VERDICT, "share_of_limit": None}))
    assert found is not None
    assert found.throughput is None
    assert not found.limit


def test_a_run_without_images_has_no_speed() -> None:
    assert pace(facts_of(0, {}, execution=None, verdict=None)) is None
