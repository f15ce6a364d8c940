from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from compared import classified, publish_run
from places import Place, local_place

from actors.errors import JobError
from actors.outputs.numbered_rows import rows_at


def test_rows_by_number_come_from_the_parts_that_have_them(place: Place) -> None:
    errors = {"bad": ("decode", "truncated"), "gone": ("read", "not_found")}
    run = publish_run(place, "a", classified([(f"{i}", "x", i / 10) for i in range(8)]), errors=errors)
    found = rows_at(run, [7, 0, 9, 4, 4])
    assert {number: row.values["image_id"] for number, row in found.items()} == {0: "0", 4: "4", 7: "7", 9: "gone"}
    assert found[9].values["error"] == "not_found"
    # Shard and row in the inventory; a shard has three rows.
    assert {number: row.identity for number, row in found.items()} == {0: (0, 0), 4: (1, 1), 7: (2, 1), 9: (3, 1)}


def test_a_part_without_a_receipt_is_named(tmp_path: Path) -> None:
    run = publish_run(local_place(tmp_path), "a", classified([("1", "x", 0.5)]))
    pq.write_table(pq.ParquetFile(run.rows[0]).read().replace_schema_metadata(None), run.rows[0])
    with pytest.raises(JobError, match=r"part-0.*it has no receipt\n.*jobs\.verify"):
        rows_at(run, [0])
