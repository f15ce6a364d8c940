from __future__ import annotations

import decimal
import io
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.reading.row_group_versions import row_group_version, row_group_versions


def images(num_images: int, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    data = [generator.bytes(size) for size in generator.integers(5000, 9000, num_images)]
    return pa.table({"image": pa.array(data), "key": [f"{seed}-{number}" for number in range(num_images)]})


def footer(*groups: pa.Table, **options: object) -> pq.FileMetaData:
    """Returns the metadata of a file with these row groups."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, groups[0].schema, **options) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=len(group))
    return pq.read_metadata(sink)


def versions(*groups: pa.Table, **options: object) -> list[str]:
    metadata = footer(*groups, **options)
    listed = list(row_group_versions(metadata))
    assert listed == [row_group_version(metadata, group) for group in range(metadata.num_row_groups)]
    return listed


A, B, C = images(6, seed=1), images(6, seed=2), images(6, seed=3)


def test_a_row_group_keeps_its_version_while_others_change() -> None:
    first, second = versions(A, B)
    assert versions(A, B) == [first, second]
    assert versions(A, B, C)[:2] == [first, second]
    assert versions(A) == [first]
    assert versions(C, B)[1] == second  # preceded by other bytes, but the same number of rows
    assert len({first, second}) == 2
    assert len(first) == 32


def test_its_place_is_part_of_it() -> None:
    assert not set(versions(A, B)) & set(versions(B, A))
    assert not set(versions(A, A, A)) & set(versions(B.slice(0, 1), A, A)[1:])


def changed(column: str, values: list[object]) -> pa.Table:
    index = A.schema.get_field_index(column)
    return A.set_column(index, A.schema.field(index), pa.array(values, A.schema.field(index).type))


@pytest.mark.parametrize(
    "other",
    [
        changed("image", [*A["image"].to_pylist()[:5], b"x" * 5000]),
        changed("image", [*A["image"].to_pylist()[:5], None]),
        changed("key", [*A["key"].to_pylist()[:5], "1-9"]),  # same length, and the maximum
        changed("key", [*A["key"].to_pylist()[:5], None]),
        A.slice(1),
        A.rename_columns(["image", "name"]),
        A.append_column("more", pa.array(range(6))),
        A.set_column(1, "key", pa.array(range(6))),
    ],
)
def test_what_changes_it(other: pa.Table) -> None:
    assert versions(other) != versions(A)


@pytest.mark.parametrize(
    "options",
    [{"compression": "zstd"}, {"compression": "none"}, {"use_dictionary": False}, {"write_statistics": False}],
)
def test_a_file_that_is_written_another_way_is_another(options: dict[str, object]) -> None:
    assert versions(A, **options) != versions(A)


def test_what_it_cannot_see() -> None:
    plain = {"compression": "none", "use_dictionary": False}
    data = A["image"].to_pylist()
    other = bytes(len(data[2]))
    assert versions(changed("image", [*data[:2], other, *data[3:]]), **plain) == versions(A, **plain)
    assert versions(A.take([0, 2, 1, 3, 4, 5]), **plain) == versions(A, **plain)


def test_every_type_of_column() -> None:
    when = datetime(2026, 11, 1, 12, tzinfo=UTC)
    columns = {
        "decimal": pa.array([decimal.Decimal("1.5")] * 2),
        "when": pa.array([when] * 2, pa.timestamp("us", "UTC")),
        "truth": [True, False],
        "nan": [1.5, float("nan")],
        "half": pa.array(np.arange(2, dtype=np.float16)),
        "list": [[1, 2], None],
        "fixed": pa.array([b"abcd", b"efgh"], pa.binary(4)),
        "nothing": pa.nulls(2),
        "struct": [{"a": 1, "b": "é"}, {"a": None, "b": "\xff"}],
        "category": pa.array(["x", "y"]).dictionary_encode(),
        "empty": pa.array(["", ""]),
    }
    table = pa.table(columns)
    assert versions(table) == versions(table)
    old = versions(table, use_deprecated_int96_timestamps=True)
    assert old == versions(table, use_deprecated_int96_timestamps=True)
    assert old != versions(table)


def test_a_file_without_row_groups() -> None:
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, A.schema):
        pass
    assert list(row_group_versions(pq.read_metadata(sink))) == []
