from __future__ import annotations

import pyarrow as pa
import pytest

from actors.columns import FILE, IMAGE_ID, INVENTORY_FIELDS, OFFSET, SIZE, TARGET, URI, VERSION
from actors.errors import JobError
from jobs.datasets.kept_columns import Carried, entry_schema, entry_table, find_field


def carry(table: pa.Table, *, first: pa.Table | None = None, **names: object) -> pa.Table:
    """Returns the entries of ``table``, a file of a dataset whose first file is ``first``."""
    wanted = {"id_column": None, "label_column": None, "keep_columns": [], **names}
    carried = Carried(**wanted)
    schema = carried.schema((first or table).schema, "first")
    uris = pa.array([f"uri {number}" for number in range(len(table))], pa.string())
    return entry_table({URI: uris, **carried.columns(table, schema, "this")}, schema)


def test_entries_have_the_inventorys_fields() -> None:
    schema = entry_schema(has_target=True, kept=[pa.field("x", pa.int8())])
    assert list(schema)[:6] == list(INVENTORY_FIELDS[2:])
    assert schema.names == [IMAGE_ID, URI, FILE, OFFSET, SIZE, VERSION, TARGET, "x"]
    assert TARGET not in entry_schema(has_target=False).names


def test_ids_are_strings_and_the_uri_stands_in_for_null() -> None:
    table = pa.table(
        {"n": pa.array([7, None], pa.int16()), "s": ["007", None], "l": pa.array(["a", "b"], pa.large_string())}
    )
    assert carry(table, id_column="n")[IMAGE_ID].to_pylist() == ["7", "uri 1"]
    assert carry(table, id_column="s")[IMAGE_ID].to_pylist() == ["007", "uri 1"]
    assert carry(table, id_column="l")[IMAGE_ID].to_pylist() == ["a", "b"]
    assert carry(table)[IMAGE_ID].to_pylist() == ["uri 0", "uri 1"]


def test_labels_are_strings_and_stay_null() -> None:
    table = pa.table({"n": pa.array([3, None]), "d": pa.array(["cat", None]).dictionary_encode()})
    assert carry(table, label_column="n")[TARGET].to_pylist() == ["3", None]
    assert carry(table, label_column="d")[TARGET].to_pylist() == ["cat", None]


def test_kept_columns_have_their_own_types() -> None:
    table = pa.table(
        {
            "when": pa.array([0, None], pa.timestamp("us", "UTC")),
            "box": pa.array([[1.5, 2], None], pa.list_(pa.float32())),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "nothing": pa.nulls(2),
        }
    )
    kept = carry(table, keep_columns=["box", "when", "kind", "nothing"], id_column="kind")
    assert kept.column_names[6:] == ["box", "when", "kind", "nothing"]
    assert kept.schema.field("when").type == pa.timestamp("us", "UTC")
    assert kept.schema.field("box").type == pa.list_(pa.float32())
    assert kept.schema.field("kind").type == kept.schema.field("nothing").type == pa.string()
    assert kept["box"].to_pylist() == [[1.5, 2.0], None]
    assert kept[IMAGE_ID].to_pylist() == ["x", "y"]


@pytest.mark.parametrize(
    ("arrow_type", "values", "carried"),
    [
        (pa.list_(pa.string_view()), [["a"], None], pa.list_(pa.string())),
        (pa.list_(pa.string_view(), 1), [["a"], None], pa.list_(pa.string(), 1)),
        (
            pa.struct([("s", pa.list_(pa.binary_view()))]),
            [{"s": [b"x"]}, None],
            pa.struct([("s", pa.list_(pa.binary()))]),
        ),
        (pa.map_(pa.string(), pa.string_view()), [[("k", "v")], None], pa.map_(pa.string(), pa.string())),
        (pa.list_view(pa.int32()), [[1], None], pa.list_view(pa.int32())),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["a"], None], pa.list_(pa.string())),
        (pa.list_(pa.null()), [[None], None], pa.list_(pa.string())),
    ],
)
def test_nested_types_are_made_ones_that_travel(
    arrow_type: pa.DataType, values: list[object], carried: pa.DataType
) -> None:
    kept = carry(pa.table({"x": pa.array(values, arrow_type)}), keep_columns=["x"])
    assert kept.schema.field("x").type == carried
    assert kept.sort_by([("uri", "descending")])["x"].to_pylist() == values[::-1]


@pytest.mark.parametrize(
    "arrow_type", [pa.month_day_nano_interval(), pa.struct([]), pa.run_end_encoded(pa.int32(), pa.int8())]
)
def test_types_that_cannot_be_carried_are_refused_at_once(arrow_type: pa.DataType) -> None:
    with pytest.raises(JobError, match=r"dataset\.keep_columns=x: it is .* in first, which cannot be kept"):
        carry(pa.table({"x": pa.nulls(1, arrow_type)}), keep_columns=["x"])


def test_a_later_file_is_cast_or_refused() -> None:
    first = pa.table({"n": pa.array([1], pa.int64())})
    kept = carry(pa.table({"n": pa.array([2], pa.int8())}), first=first, keep_columns=["n"])
    assert kept.schema.field("n").type == pa.int64()
    with pytest.raises(JobError, match=r"dataset\.path=this: its column n is string and cannot be converted to int64"):
        carry(pa.table({"n": ["x"]}), first=first, keep_columns=["n"])


@pytest.mark.parametrize(
    "name", ["image_id", "uri", "target", "stage", "error", "message", "_shard", "_x", "model", "run", "Model", "RUN"]
)
def test_names_that_are_taken(name: str) -> None:
    with pytest.raises(JobError, match=f"dataset.keep_columns={name}"):
        carry(pa.table({name: [1]}), keep_columns=[name])


def test_a_name_that_stands_twice() -> None:
    with pytest.raises(JobError, match="duplicate name"):
        carry(pa.table({"x": [1]}), keep_columns=["x", "x"])
    with pytest.raises(JobError, match=r"dataset\.keep_columns=x: first has two columns of that name"):
        carry(pa.table([[1], [2]], names=["x", "x"]), keep_columns=["x"])


@pytest.mark.parametrize("key", ["id_column", "label_column"])
def test_columns_that_cannot_be_strings(key: str) -> None:
    with pytest.raises(JobError, match=f"dataset.{key}=x: it is struct"):
        carry(pa.table({"x": [{"a": 1}]}), **{key: "x"})


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(JobError, match=r"dataset\.id_column=idd: s3://b/x\.csv has no such column") as caught:
        find_field(pa.schema([("id", pa.string()), ("uri", pa.string())]), "idd", key="id_column", uri="s3://b/x.csv")
    assert caught.value.fix == "its columns are id, uri"
