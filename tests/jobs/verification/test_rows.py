from __future__ import annotations

import pyarrow as pa
import pytest
from published import ERRORS, PublishedRun

from jobs.verification.rows import task_columns, wrong_columns, wrong_rows

RUN = PublishedRun()
PAIRS = [(0, 3), (0, 4), (1, 0), (1, 2)]
ROWS, ERROR_ROWS = RUN.predicted(PAIRS), RUN.failed(PAIRS)
CARRIED = ["target", "weight"]
LISTED = ROWS.select(["image_id", "uri", *CARRIED])


def wrong(table: pa.Table, listed: pa.Table, folder: str = "rows") -> dict[str, list[int]]:
    """Returns the numbers of the wrong rows, by fault."""
    return {what: mask.nonzero()[0].tolist() for what, mask in wrong_rows(table, listed, folder) if mask.any()}


def changed(table: pa.Table, column: str, place: int, value: object) -> pa.Table:
    values = table[column].to_pylist()
    values[place] = value
    return table.set_column(table.column_names.index(column), column, [pa.array(values, table[column].type)])


def test_rows_that_are_right() -> None:
    assert wrong_columns(ROWS.schema, "rows", CARRIED) == ""
    assert wrong_columns(ERROR_ROWS.schema, "errors", CARRIED) == ""
    assert wrong(ROWS, LISTED) == {}
    assert wrong(ERROR_ROWS, LISTED, "errors") == {}
    assert task_columns(ROWS.schema, CARRIED) == ["label_id", "label", "score", "top_labels", "top_scores"]


@pytest.mark.parametrize("column", ["image_id", "uri", "target", "weight"])
def test_a_value_that_the_inventory_does_not_have(column: str) -> None:
    value = 7.0 if column == "weight" else "x"
    said = f"{column} differs from the inventory"
    assert wrong(changed(ROWS, column, 3, value), LISTED) == {said: [3]}
    assert wrong(changed(ROWS, column, 1, None), LISTED) == {said: [1]}


def test_kept_columns_of_other_types_with_the_same_values() -> None:
    kept = [pa.array([float("nan"), 1, 2, None]), pa.array([[float("nan")], [], None, [1.0]])]
    for column in kept:
        listed = LISTED.append_column("kept", [column])
        part = ROWS.append_column("kept", [column])
        assert wrong(part, listed) == {}
        other = ROWS.append_column("kept", [pa.concat_arrays([column.slice(1), column.slice(0, 1)])])
        assert wrong(other, listed) == {"kept differs from the inventory": [0, 1, 2, 3]}
    texts = pa.array(["a", "b", "a", None])
    part = ROWS.append_column("kept", [texts.dictionary_encode()])
    assert wrong(part, LISTED.append_column("kept", [texts])) == {}


def test_one_column_of_a_task_may_be_null_and_not_all() -> None:
    names = [f"free {name}" if name in task_columns(ROWS.schema, CARRIED) else name for name in ROWS.column_names]
    rows = ROWS.rename_columns(names)
    *others, last = task_columns(rows.schema, CARRIED)
    for column in others:
        rows = changed(rows, column, 2, None)
    assert wrong(rows, LISTED) == {}
    rows = changed(rows, last, 2, None)
    assert wrong(rows, LISTED) == {"all task columns are null": [2]}


@pytest.mark.parametrize("column", ["stage", "error", "message"])
def test_an_error_row_says_what_is_wrong(column: str) -> None:
    rows = changed(ERROR_ROWS, column, 0, "")
    assert wrong(rows, LISTED, "errors") == {f"{column} is empty": [0]}


@pytest.mark.parametrize(
    ("schema", "folder", "said"),
    [
        (ROWS.drop_columns(["uri"]).schema, "rows", "column uri is not string"),
        (ROWS.schema.set(0, pa.field("image_id", pa.int64())), "rows", "column image_id is not string"),
        (LISTED.schema, "rows", "no task columns"),
        (ROWS.drop_columns(["weight"]).schema, "rows", "column weight is missing, though the inventory has it"),
        (ERRORS.remove(3), "errors", "column error is not string"),
        (ERRORS.append(pa.field("more", pa.string())), "errors", "more columns than 5"),
    ],
)
def test_columns(schema: pa.Schema, folder: str, said: str) -> None:
    assert wrong_columns(schema, folder, CARRIED) == said


@pytest.mark.parametrize("column", ["image_id", "uri"])
def test_rows_show_no_users_of_urls_as_earlier_ones_did(column: str) -> None:
    said = f"{column} differs from the inventory"
    listed = changed(LISTED, column, 2, "https://me:password@host/x.jpg")
    assert wrong(changed(ROWS, column, 2, "https://host/x.jpg"), listed) == {}
    assert wrong(changed(ROWS, column, 2, "https://me:password@host/x.jpg"), listed) == {}
    assert wrong(changed(ROWS, column, 2, "https://me:other@host/x.jpg"), listed) == {said: [2]}
    assert wrong(changed(ROWS, column, 2, "https://host/y.jpg"), listed) == {said: [2]}
    assert wrong(changed(ROWS, column, 1, "https://me:password@host/x.jpg"), LISTED) == {said: [1]}
