from __future__ import annotations

import pyarrow as pa
from scored import Scored

from actors.columns import TARGET
from actors.tasks.calibration import OUTSIDE, calibration_name, count_calibration


def test_names_are_bounded_and_rows_without_a_label_left_out() -> None:
    rows = Scored.random(300, 3).rows
    counts = count_calibration(rows)
    assert len(counts) <= 1 + 3 * 16
    assert sum(counts[name] for name in counts if name.endswith("/num")) == 300
    assert calibration_name(14, "num_correct") in counts
    assert count_calibration(rows.drop_columns([TARGET])) == {}
    assert count_calibration(rows.slice(0, 0)) == {OUTSIDE: 0}


def test_logits_have_no_bin() -> None:
    rows = Scored.random(3, 3).rows
    rows = rows.set_column(rows.schema.get_field_index("score"), "score", [pa.array([7.5, 0.5, -1], pa.float32())])
    counts = count_calibration(rows)
    assert (counts[OUTSIDE], counts[calibration_name(7, "num")]) == (2, 1)
