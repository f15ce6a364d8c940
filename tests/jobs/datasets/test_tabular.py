from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import Place

from actors.errors import JobError
from actors.storage import Storage
from jobs.datasets.tabular import read_tables

ROWS = [
    {"uri": "日本/a b.jpg", "id": "007", "n": 1, "x": 0.5},
    {"uri": 'quo"te,\n.jpg', "id": "NA", "n": 2, "x": None},
    {"uri": "c.jpg", "id": None, "n": None, "x": 2.0},
]
KEYS = {"uri": "uri_column", "id": "id_column", "n": "keep_columns", "x": "keep_columns"}
FORMATS = [
    "list.csv",
    "list.TSV",
    "list.jsonl",
    "list.ndjson",
    "list.csv.gz",
    "list.tsv.gz",
    "list.jsonl.gz",
    "list.parquet",
]


def encode(name: str, rows: list[dict[str, object]]) -> bytes:
    plain = name.lower().removesuffix(".gz")
    if plain.endswith(".parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=max(2, len(rows) // 10))
        return sink.getvalue().to_pybytes()
    if plain.endswith("sv"):
        separator = "," if plain.endswith(".csv") else "\t"
        lines = [list(rows[0]), *([_quoted(value) for value in row.values()] for row in rows)]
        data = "".join(separator.join(line) + "\n" for line in lines).encode()
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    return gzip.compress(data) if name.endswith(".gz") else data


def _quoted(value: object) -> str:
    return "" if value is None else '"' + str(value).replace('"', '""') + '"' if isinstance(value, str) else str(value)


def read(
    uri: str, keys: dict[str, str], storage: Storage | None = None, texts: frozenset[str] = frozenset({"uri", "id"})
) -> pa.Table:
    return pa.concat_tables(read_tables(uri, storage or Storage(), keys, texts))


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_rows(name: str, place: Place) -> None:
    uri = place.put(name, encode(name, ROWS))
    table = read(uri, KEYS, Storage(place.options))
    assert table.to_pylist() == ROWS
    assert table.schema.types == [pa.string(), pa.string(), pa.int64(), pa.float64()]


@pytest.mark.parametrize("name", FORMATS)
def test_only_wanted_columns_in_the_order_wanted(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encode(name, ROWS))
    assert read(
        str(tmp_path / name), {"x": "keep_columns", "uri": "uri_column"}, texts=frozenset({"uri"})
    ).column_names == ["x", "uri"]
    with pytest.raises(JobError, match=r"dataset\.keep_columns=z: .* has no such column") as caught:
        read(str(tmp_path / name), {**KEYS, "z": "keep_columns"})
    assert caught.value.cure == "its columns are uri, id, n, x"


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_a_header_alone(name: str, tmp_path: Path) -> None:
    data = b"uri,id\n" if name.endswith("csv") else encode(name, ROWS)
    (tmp_path / name).write_bytes(data)
    if name.endswith("parquet"):
        pq.write_table(pa.table({"uri": pa.array([], pa.string())}), tmp_path / name)
    table = read(str(tmp_path / name), {"uri": "uri_column"}, texts=frozenset({"uri"}))
    assert (table.num_rows, table.column_names) == (0, ["uri"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"uri,id\na.jpg\n"),
        ("latin.csv", b"uri,id\n\xe9.jpg,1\n"),
        ("empty.jsonl", b""),
        ("cut.jsonl", b'{"uri": "a.jpg", "id": "1"}\n{"uri": "b.j'),
        ("array.jsonl", b'[{"uri": "a.jpg"}]'),
        ("cut.csv.gz", gzip.compress(b"uri,id\n" + b"a.jpg,1\n" * 9999)[:-20]),
        ("plain.csv.gz", b"uri,id\na.jpg,1\n"),
        ("cut.parquet", encode("x.parquet", ROWS)[:-9]),
        ("text.parquet", b"uri,id\na.jpg,1\n"),
    ],
)
def test_broken_files(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((pa.ArrowException, OSError)):
        read(str(tmp_path / name), {"uri": "uri_column", "id": "id_column"})


def test_json_strings_that_look_like_times_stay_strings(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"uri": "a", "id": "2024-01-01 10:00:00", "t": "2024-01-01", "n": null}\n')
    table = read(str(tmp_path / "x.jsonl"), dict.fromkeys(("uri", "id", "t", "n"), "keep_columns"))
    assert table.to_pylist() == [{"uri": "a", "id": "2024-01-01 10:00:00", "t": "2024-01-01", "n": None}]
    assert table.schema.field("n").type == pa.string()


def test_json_ids_may_be_numbers_and_fields_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"uri": "a", "id": 7, "more": {"deep": [1]}}\n\n{"id": 8, "other": 1}\n')
    table = read(str(tmp_path / "x.jsonl"), {"uri": "uri_column", "id": "id_column"})
    assert table.to_pylist() == [{"uri": "a", "id": 7}, {"uri": None, "id": 8}]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("\ufeffuri\na.jpg\n".encode())
    assert read(str(tmp_path / "x.csv"), {"uri": "uri_column"}, texts=frozenset({"uri"})).to_pylist() == [
        {"uri": "a.jpg"}
    ]


@pytest.mark.parametrize("name", ["big.csv", "big.jsonl", "big.parquet"])
def test_a_large_file_comes_in_pieces(name: str, tmp_path: Path) -> None:
    rows = [{"uri": f"images/{'long name ' * 40}{number}.jpg"} for number in range(40_000)]
    (tmp_path / name).write_bytes(encode(name, rows))
    sizes = [len(table) for table in read_tables(str(tmp_path / name), Storage(), {"uri": "uri_column"}, {"uri"})]
    assert sum(sizes) == 40_000
    assert max(sizes) < 40_000


def test_a_type_that_changes_late_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("uri,n\n" + f"{'a' * 90}.jpg,1\n" * 100_000 + "b.jpg,one\n")
    with pytest.raises(pa.ArrowInvalid, match="invalid value 'one'"):
        read(str(tmp_path / "x.csv"), {"uri": "uri_column", "n": "keep_columns"}, texts=frozenset({"uri"}))


def test_a_column_that_starts_empty_may_have_values_later(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("uri,note\n" + f"{'a' * 90}.jpg,\n" * 100_000 + "b.jpg,late\n")
    keys = {"uri": "uri_column", "note": "keep_columns"}
    assert read(str(tmp_path / "x.csv"), keys, texts=frozenset({"uri"}))["note"].to_pylist()[-2:] == [None, "late"]
