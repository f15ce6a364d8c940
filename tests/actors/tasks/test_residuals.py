from __future__ import annotations

import pyarrow as pa

from actors.columns import TARGET
from actors.tasks.fixed_point import to_units
from actors.tasks.residuals import count_residuals, only_number


def test_distances_and_known_numbers_add_up() -> None:
    rows = pa.table({"age": pa.array([1.5, -2.0, 3.0], pa.float32()), TARGET: [" 1", "-4e0", "old"]})
    counts = {name.rpartition("/")[2]: value / 2**64 for name, value in count_residuals(rows, "age").items()}
    assert counts.pop("num") == 2 / 2**64
    assert counts == {
        "absolute_units": 2.5, "square_units": 4.25, "above_units": 1, "below_units": 4, "target_square_units": 17,
    }  # fmt: skip
    assert count_residuals(rows.drop_columns([TARGET]), "age") == count_residuals(rows, TARGET) == {}
    assert to_units(rows["age"].to_numpy()[:1]) == 3 << 63


def test_a_column_beside_internal_ones_is_the_only_number() -> None:
    rows = pa.table({"age": pa.array([1], pa.float32()), "_read_s": pa.array([1], pa.float32()), TARGET: ["1"]})
    assert only_number(rows) == "age"
    assert only_number(rows.append_column("weight", rows["age"])) is None
