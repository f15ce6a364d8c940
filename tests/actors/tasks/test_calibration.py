from __future__ import annotations

from scored import Scored

from actors.columns import TARGET
from actors.tasks.calibration import calibration_name, count_calibration


def test_names_are_bounded_and_rows_without_a_label_left_out() -> None:
    rows = Scored.random(300, 3).rows
    counts = count_calibration(rows)
    assert len(counts) <= 3 * 16
    assert sum(counts[name] for name in counts if name.endswith("/num")) == 300
    assert calibration_name(14, "num_correct") in counts
    assert count_calibration(rows.drop_columns([TARGET])) == {}
    assert count_calibration(rows.slice(0, 0)) == {}
