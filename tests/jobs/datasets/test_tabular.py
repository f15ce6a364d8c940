from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import Place

from actors.errors import JobError
from actors.storage.store import Storage
from jobs.datasets.csv_rows import Csv
from jobs.datasets.passed_over import PassedOver
from jobs.datasets.tabular import Columns, TableFormat, read_tables

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
    "list.csv.zst",
    "list.tsv.bz2",
    "list.json",
    "list.json.xz",
    "list.parquet",
]
PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def encode(name: str, rows: list[dict[str, object]]) -> bytes:
    plain, packed = name.lower(), ""
    for suffix in (".gz", ".bz2", ".xz", ".zst"):
        if plain.endswith(suffix):
            plain, packed = plain.removesuffix(suffix), suffix
    if plain.endswith(".parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=max(2, len(rows) // 10))
        return sink.getvalue().to_pybytes()
    if plain.endswith("sv"):
        separator = "," if plain.endswith(".csv") else "\t"
        lines = [list(rows[0]), *([_quoted(value) for value in row.values()] for row in rows)]
        data = "".join(separator.join(line) + "\n" for line in lines).encode()
    elif plain.endswith(".json"):
        data = json.dumps(rows, indent=1).encode()
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if packed == ".zst":
        return pa.compress(data, codec="zstd", asbytes=True)
    return PACKERS[packed](data) if packed else data


def _quoted(value: object) -> str:
    return "" if value is None else '"' + str(value).replace('"', '""') + '"' if isinstance(value, str) else str(value)


def tables(
    uri: str, keys: dict[str, str], storage: Storage | None = None, unseen: set[str] | None = None, **settings: Any
) -> Iterator[pa.Table]:
    columns = Columns(keys, "uri", **settings)
    return read_tables(uri, storage or Storage(), columns, PassedOver(), set() if unseen is None else unseen)


def read(uri: str, keys: dict[str, str], storage: Storage | None = None, **settings: Any) -> pa.Table:
    return pa.concat_tables(tables(uri, keys, storage, **settings))


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_rows(name: str, place: Place) -> None:
    uri = place.put(name, encode(name, ROWS))
    table = read(uri, KEYS, Storage(place.options))
    if name.endswith(".parquet"):
        assert table.to_pylist() == ROWS
        assert table.schema.types == [pa.string(), pa.string(), pa.int64(), pa.float64()]
    else:
        assert table.to_pylist() == [{key: value and str(value) for key, value in row.items()} for row in ROWS]
        assert set(table.schema.types) == {pa.string()}


@pytest.mark.parametrize("name", FORMATS)
def test_only_wanted_columns_in_the_order_wanted(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encode(name, ROWS))
    assert read(str(tmp_path / name), {"x": "keep_columns", "uri": "uri_column"}).column_names == ["x", "uri"]
    unseen = {"uri", "z"}
    if ".json" in name or name.endswith("ndjson"):
        assert (
            read(str(tmp_path / name), {"uri": "uri_column", "z": "keep_columns"}, unseen=unseen)["z"].null_count == 3
        )
        assert unseen == {"z"}
        return
    with pytest.raises(JobError, match=r"dataset\.keep_columns=z: .* has no such column") as caught:
        read(str(tmp_path / name), {**KEYS, "z": "keep_columns"})
    assert caught.value.fix.startswith("its columns are uri, id, n, x")


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_a_header_alone(name: str, tmp_path: Path) -> None:
    data = b"uri,id\n" if name.endswith("csv") else encode(name, ROWS)
    (tmp_path / name).write_bytes(data)
    if name.endswith("parquet"):
        pq.write_table(pa.table({"uri": pa.array([], pa.string())}), tmp_path / name)
    table = read(str(tmp_path / name), {"uri": "uri_column"})
    assert (table.num_rows, table.column_names) == (0, ["uri"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"uri,id\na.jpg\n"),
        ("latin.csv", b"uri,id\n\xe9.jpg,1\n"),
        ("cut.jsonl", b'{"uri": "a.jpg", "id": "1"}\n{"uri": "b.j'),
        ("array.jsonl", b'[{"uri": "a.jpg"}]'),
        ("cut.csv.xz", lzma.compress(b"uri,id\n" + b"a.jpg,1\n" * 9999)[:-20]),
        ("cut.csv.gz", gzip.compress(b"uri,id\n" + b"a.jpg,1\n" * 9999, mtime=0)[:-20]),
        ("plain.csv.gz", b"uri,id\na.jpg,1\n"),
        ("cut.parquet", encode("x.parquet", ROWS)[:-9]),
        ("text.parquet", b"uri,id\na.jpg,1\n"),
    ],
)
def test_broken_files(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises((JobError, pa.ArrowException, OSError, EOFError)):
        read(str(tmp_path / name), {"uri": "uri_column", "id": "id_column"})


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("\ufeffuri\na.jpg\n".encode())
    assert read(str(tmp_path / "x.csv"), {"uri": "uri_column"}).to_pylist() == [{"uri": "a.jpg"}]


@pytest.mark.parametrize("name", ["big.csv", "big.jsonl", "big.parquet"])
def test_a_large_file_comes_in_pieces(name: str, tmp_path: Path) -> None:
    rows = [{"uri": f"images/{'long name ' * 40}{number}.jpg"} for number in range(40_000)]
    (tmp_path / name).write_bytes(encode(name, rows))
    sizes = [len(table) for table in tables(str(tmp_path / name), {"uri": "uri_column"})]
    assert sum(sizes) == 40_000
    assert max(sizes) < 40_000


@pytest.mark.parametrize("name", ["late.csv", "late.jsonl"])
def test_what_comes_late_ends_nothing(name: str, tmp_path: Path) -> None:
    rows = [{"uri": f"{'a' * 90}.jpg", "note": None}] * 100_000 + [{"uri": "b.jpg", "note": "0.5"}]
    (tmp_path / name).write_bytes(encode(name, rows))
    keys = {"uri": "uri_column", "note": "keep_columns"}
    assert read(str(tmp_path / name), keys)["note"].to_pylist()[-2:] == [None, "0.5"]


@pytest.mark.parametrize(
    ("name", "data", "settings"),
    [
        ("x.txt", b"a.jpg\n", {}),
        ("x.txt.gz", gzip.compress(b"a.jpg\n", mtime=0), {}),
        ("x.txt", b"uri\na.jpg\n", {"table_format": TableFormat.csv}),
        ("x.data", b"uri,n\na.jpg,1\n", {}),
        ("x.data", b"uri\tn\na.jpg\t1\n", {"table_format": TableFormat.tsv}),
        ("x.csv", b"uri;n\na.jpg;1\n", {"csv": Csv(delimiter=";")}),
        ("x.csv", b'[{"uri": "a.jpg"}]', {"table_format": TableFormat.json}),
    ],
)
def test_the_name_or_the_settings_say_the_format(
    name: str, data: bytes, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    assert read(str(tmp_path / name), {"uri": "uri_column"}, **settings).to_pylist() == [{"uri": "a.jpg"}]


def test_a_plain_list_has_no_other_columns(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a.jpg\n")
    with pytest.raises(JobError, match=r"dataset\.keep_columns=n: .* has no such column"):
        read(str(tmp_path / "x.txt"), {"uri": "uri_column", "n": "keep_columns"})
