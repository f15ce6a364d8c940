from __future__ import annotations

import re

from jobs.comparison.distributions import Distribution
from jobs.comparison.drift_chart import drift_chart


def test_both_histograms_are_drawn_to_one_scale() -> None:
    """Shares make runs of different sizes comparable; y is measured from the top."""
    chart = drift_chart(Distribution("<b>", 0.0, 10.0, [50, 50, 0, 0], [0, 0, 20, 60], 2.5, 7.5, 1.0, 9.0))
    area, a, b = re.findall(r' d="([^"]*)"', str(chart.shapes))[-3:]
    assert (
        a
        == "M0.00 50.00 L25.00 50.00 L25.00 50.00 L50.00 50.00 L50.00 100.00 L75.00 100.00 L75.00 100.00 L100.00 100.00"
    )
    assert b.endswith("L50.00 75.00 L75.00 75.00 L75.00 25.00 L100.00 25.00")
    assert area.endswith("L100 100 Z")
    assert list(chart.x_ticks) == ["0", "2.5", "5", "7.5", "10"]
    assert chart.y_ticks[0] == "100 %"
    assert "mean 2.5 in run A and 7.5 in run B" in chart.text
    assert "in run B 75.0 % are from 7.5 to 10" in chart.text
