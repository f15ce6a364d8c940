from __future__ import annotations

import re

import pytest

from jobs.pages.charts import calibration_chart, column_chart, line_chart, number, round_up, score_chart


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (1, 1), (1.01, 2), (230, 250), (999, 1000), (1001, 2000), (0.03, 0.05), (float("nan"), 1)],
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (999, "999"), (5000, "5,000"), (25000, "25k"), (1.5e6, "1.5M")]
)
def test_numbers_of_an_axis_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_line_goes_through_its_points() -> None:
    chart = line_chart([(10.0, 0.0), (15.0, 40.0), (20.0, 100.0)], "t", "text", labels=("s", "images/s"))
    assert "M0.00 100.00 L50.00 60.00 L100.00 0.00" in chart.shapes
    assert list(chart.x_ticks) == ["10", "12.5", "15", "17.5", "20"]
    assert list(chart.y_ticks) == ["100", "75", "50", "25", "0"]


def test_columns_have_the_heights_of_their_numbers_and_none_is_invisible() -> None:
    chart = column_chart([0, 1, 1_000_000], "t", "text", labels=("score", "images"))
    heights = [float(found) for found in re.findall(r'height="([0-9.]+)"', chart.shapes)]
    assert heights == [0, 1, 100]


def test_the_dots_of_a_calibration_lie_at_score_and_accuracy() -> None:
    chart = calibration_chart([(0.5, 0.25, 1), (0.9, 1.0, 100)], "t", "text")
    dots = re.findall(r'stroke-width="([0-9.]+)" d="M([0-9.]+) ([0-9.]+) h0"', chart.shapes)
    assert [(float(x), float(y)) for _, x, y in dots] == [(50, 75), (90, 0)]
    assert float(dots[0][0]) < float(dots[1][0])


def test_scores_go_from_the_least_to_the_greatest_with_a_dot_at_one() -> None:
    chart = score_chart([0.5, 0.25, 0.75], 2, "t", "text", labels=("checkpoint", "accuracy"))
    assert "M0.00 50.00 L50.00 100.00 L100.00 0.00" in chart.shapes
    assert 'd="M100.00 0.00 h0"' in chart.shapes
    assert (list(chart.x_ticks), list(chart.y_ticks)) == (["1", "3"], ["0.75", "0.25"])
    assert list(score_chart([1.0], 0, "t", "text", labels=("", "")).x_ticks) == ["1"]
