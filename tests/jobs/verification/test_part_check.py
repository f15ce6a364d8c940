from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import Place, local_place
from published import PublishedRun, break_byte

from actors.storage.store import Storage
from jobs.verification.digest import rows_digest
from jobs.verification.documents import Entry, read_manifest
from jobs.verification.findings import Findings
from jobs.verification.inventory_check import check_inventory
from jobs.verification.output_files import list_output
from jobs.verification.part_check import CheckedPart, PartCheck, claim

RUN = PublishedRun()
ROWS_1, ROWS_2 = RUN.of("rows")
ENTRY_1, ENTRY_2, ERRORS = read_manifest(RUN.files["runs/r1/manifest.json"]).entries


def checked(
    place: Place, entry: Entry, name: str, data: bytes | None = None, *, wants_digest: bool = True
) -> CheckedPart:
    RUN.put(place)
    if data is not None:
        place.put(name, data)
    output = list_output(place.root, Storage(place.options))
    return PartCheck(output, check_inventory(output, "r1", Findings()), wants_digest)(entry, name)


def said(part: CheckedPart) -> list[str]:
    return list(part.findings.lines())


def test_a_part_that_is_right(place: Place) -> None:
    part = checked(place, ENTRY_1, ROWS_1)
    assert said(part) == []
    assert part.num_rows == 3
    assert part.spans.tolist() == [[0, 0, 1], [0, 2, 4]]
    assert part.digest == rows_digest(RUN.table(ROWS_1))
    assert part.schema == RUN.table(ROWS_1).schema
    assert checked(place, ENTRY_1, ROWS_1, wants_digest=False).digest == 0


def test_messages_are_not_in_the_digest(tmp_path: Path) -> None:
    (name,) = RUN.of("errors")
    part = checked(local_place(tmp_path), ERRORS, name)
    assert said(part) == []
    assert part.digest == rows_digest(RUN.table(name).drop_columns(["message"]))


def test_without_an_inventory_rows_are_counted(tmp_path: Path) -> None:
    RUN.put(local_place(tmp_path))
    part = PartCheck(list_output(str(tmp_path), Storage()), None, wants_digest=True)(ENTRY_1, ROWS_1)
    assert (said(part), part.num_rows) == ([], 3)


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        (replace(ENTRY_1, size_bytes=7), "wrong size"),
        (replace(ENTRY_1, num_rows=7), "wrong total"),
        (replace(ENTRY_1, spans=ENTRY_2.spans), "wrong receipt"),
        (replace(ENTRY_1, file="part-1.parquet"), "wrong name"),
        (replace(ENTRY_1, file=ENTRY_2.file), "wrong name"),
    ],
)
def test_an_entry_that_is_not_true(entry: Entry, wrong: str, tmp_path: Path) -> None:
    (line,) = said(checked(local_place(tmp_path), entry, ROWS_1))
    assert line.startswith(f"{wrong}: {ROWS_1}: ")


@pytest.mark.parametrize("digest", ["", "0" * 32, ENTRY_1.digest[:16], ENTRY_1.digest.upper()])
def test_another_digest(digest: str, tmp_path: Path) -> None:
    lines = said(checked(local_place(tmp_path), replace(ENTRY_1, digest=digest), ROWS_1))
    assert [line.partition(":")[0] for line in lines] == ["wrong name", "wrong digest"]


def test_what_is_left_of_a_damaged_part_counts(tmp_path: Path) -> None:
    data = RUN.files[ROWS_1]
    part = checked(local_place(tmp_path / "data"), ENTRY_1, ROWS_1, break_byte(data, 50))
    assert (part.num_rows, len(part.spans), part.digest, part.schema) == (3, 2, 0, None)
    part = checked(local_place(tmp_path / "footer"), ENTRY_1, ROWS_1, data[:-1])
    assert (part.num_rows, len(part.spans)) == (0, 0)


def of(data: bytes, folder: Path) -> list[str]:
    """Returns the findings about a file with valid digests."""
    digest = hashlib.sha256(data).hexdigest()[:32]
    file = f"part-000000-{digest}.parquet"
    entry = replace(ENTRY_1, file=file, digest=digest, size_bytes=len(data))
    return said(checked(local_place(folder), entry, f"{ROWS_1.rpartition('/')[0]}/{file}", data))


def parquet(table: pa.Table, footer: dict[str, str] | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(footer), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "unreadable part"),
        (b"no parquet at all", "unreadable part"),
        (parquet(RUN.table(ROWS_1)), "its footer has no receipt"),
        (parquet(RUN.table(ROWS_1), {"shardlens.receipt": "{"}), "unreadable part"),
        (parquet(RUN.table(ROWS_1), {"shardlens.receipt": '{"ranges": {"0": [[3, 1]]}}'}), "not ranges by shard"),
        (
            parquet(RUN.table(ROWS_1), {"shardlens.receipt": '{"ranges": {"0": [[0, 2]]}}'}),
            "its receipt names 2 rows, but the file holds 3",
        ),
    ],
)
def test_a_file_that_was_written_wrong(data: bytes, wrong: str, tmp_path: Path) -> None:
    lines = of(data, tmp_path)
    assert any(wrong in line for line in lines), lines


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    table = RUN.table(ROWS_1)
    broken = pa.array([b"a", b"\xff", b"d"], pa.binary()).view(pa.string())
    table = table.set_column(table.column_names.index("label"), "label", [broken])
    lines = of(parquet(table, {"shardlens.receipt": '{"ranges": {"0": [[0, 1], [2, 4]]}}'}), tmp_path)
    assert lines[0].startswith("unreadable part: ")


def test_what_a_stranger_claims(place: Place) -> None:
    RUN.put(place)
    place.put("rows/notes.txt", b"mine")
    output = list_output(place.root, Storage(place.options))
    assert claim(output, ROWS_1).num_rows == 3
    assert claim(output, "rows/notes.txt").num_rows == 0
