from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from blocks import predicted_block

from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.writing.part_writer import SinkPlan, write_part
from actors.writing.receipts import FOOTER_KEY
from actors.writing.run_paths import RunPaths
from jobs.runs.commit import Outcome, collect, publish

STORAGE = Storage()


@pytest.fixture
def plan(tmp_path: Path) -> SinkPlan:
    return SinkPlan(RunPaths(str(tmp_path), "mtest", "r1"), STORAGE, {}, 100)


def collected(plan: SinkPlan) -> Outcome:
    return collect(plan.paths, STORAGE, np.array([5, 3], np.int32))


def names(plan: SinkPlan) -> set[str]:
    return {path.name for path in Path(plan.paths.rows).iterdir()}


def with_receipt(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Returns a function that changes the receipt in a part's footer and keeps the file name."""

    def rewrite(part: Path) -> None:
        table = pq.read_table(part)
        receipt = json.loads(table.schema.metadata[FOOTER_KEY])
        change(receipt)
        pq.write_table(table.replace_schema_metadata({FOOTER_KEY: json.dumps(receipt)}), part)

    return rewrite


def break_footer(part: Path) -> None:
    data = part.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    part.write_bytes(data[:start] + bytes(16) + data[start + 16 :])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda part: part.write_bytes(b""),
    "no footer Arrow knows": break_footer,
    "no summary": with_receipt(lambda receipt: receipt.pop("summary")),
    "fewer rows": with_receipt(lambda receipt: receipt.update(ranges={"1": [[0, 2]]}, summary={"num_ok": 2})),
    "rows that were never listed": with_receipt(lambda receipt: receipt.update(ranges={"9": [[0, 3]]})),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_of_a_damaged_part_are_done_again(damage: str, plan: SinkPlan, caplog: pytest.LogCaptureFixture) -> None:
    write_part(plan, predicted_block(0, range(5)), number=0)
    (name,) = write_part(plan, predicted_block(1, range(3)), number=1)
    DAMAGES[damage](Path(plan.paths.rows, name))
    assert collected(plan).coverage.missing() == [Piece(1, ((0, 3),))]
    assert f"{name}: damaged (" in caplog.text
    (again,) = write_part(plan, predicted_block(1, range(3)), number=2)
    publish(collected(plan), plan.paths, STORAGE, {})
    assert again in names(plan)
    assert name not in names(plan)
    assert ds.dataset(f"{plan.paths.root}/rows").count_rows() == 8
