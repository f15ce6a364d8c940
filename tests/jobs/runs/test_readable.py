from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import predicted_block

from actors.storage.store import Storage
from actors.writing.part_writer import SinkPlan, write_part
from actors.writing.run_paths import RunPaths
from jobs.runs.readable import UnreadableRunError, check_readable, compare

STORAGE = Storage()
Manifest = dict[str, Any]


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(str(tmp_path), "mtest", "r1")


@pytest.fixture
def manifest(paths: RunPaths) -> Manifest:
    """The manifest of two row parts, of five and three images, one of which is in an error part."""
    plan = SinkPlan(paths, STORAGE, {}, 100)
    write_part(plan, predicted_block(0, range(5), bad=[1]), number=0)
    write_part(plan, predicted_block(1, range(3)), number=1)
    folders = {"rows": Path(paths.rows), "errors": Path(paths.errors)}
    return {
        kind: [
            {"file": path.name, "size_bytes": path.stat().st_size, "num_rows": pq.read_metadata(path).num_rows}
            for path in sorted(folder.iterdir())
        ]
        for kind, folder in folders.items()
    }


def other_rows(part: Path) -> None:
    """Replaces the part with another table, under the same name and of the same size."""
    size = part.stat().st_size
    pq.write_table(pa.table({"a": [1] * 9}), part)
    footer_last = part.read_bytes()
    part.write_bytes(footer_last[:4] + bytes(size - len(footer_last)) + footer_last[4:])


def test_a_run_that_is_as_its_manifest_says(paths: RunPaths, manifest: Manifest) -> None:
    check_readable(manifest, 8, paths, STORAGE)
    (Path(paths.rows) / "notes.txt").write_text("nobody takes this for rows")
    found = compare(manifest, paths, STORAGE)
    assert not [*found.missing, *found.late, *found.foreign]


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "is missing"),
    "put back to its staged name": (lambda part: part.rename(part.with_name(f".{part.name}.0.tmp")), "is missing"),
    "cut off": (lambda part: part.write_bytes(part.read_bytes()[:-9]), "is missing"),
    "twice": (lambda part: part.with_name(f"part-000009-{'0' * 32}.parquet").hardlink_to(part), "not one of its parts"),
    "hidden": (lambda part: part.with_name(".mine.parquet").hardlink_to(part), "not one of its parts"),
    "not Parquet": (lambda part: part.write_bytes(bytes(part.stat().st_size)), "has 0 rows instead of 4"),
    "of other rows": (other_rows, "has 9 rows instead of 4"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_readers_would_see_otherwise_is_found(paths: RunPaths, manifest: Manifest, damage: str) -> None:
    act, said = DAMAGES[damage]
    act(Path(paths.rows, manifest["rows"][0]["file"]))
    with pytest.raises(UnreadableRunError, match=said):
        check_readable(manifest, 8, paths, STORAGE)


def test_rows_that_no_part_has_are_found(paths: RunPaths, manifest: Manifest) -> None:
    with pytest.raises(UnreadableRunError, match="its parts have 8 rows, but 9 images are listed"):
        check_readable(manifest, 9, paths, STORAGE)


def test_a_manifest_that_names_a_staged_file_is_refuted_though_the_file_is_there(
    paths: RunPaths, manifest: Manifest
) -> None:
    part = Path(paths.rows, manifest["rows"][0]["file"])
    staged = part.rename(part.with_name(f".{part.name}.0.tmp"))
    found = compare(json.loads(json.dumps(manifest).replace(part.name, staged.name)), paths, STORAGE)
    assert found.missing == [str(staged)]
    assert found.late == [str(staged)]


def test_errors_that_another_run_has_taken_over_are_not_missed(paths: RunPaths, manifest: Manifest) -> None:
    Path(paths.errors, manifest["errors"][0]["file"]).unlink()
    assert compare(manifest, paths, STORAGE).missing
    assert not compare(manifest | {"redriven_by": "r2"}, paths, STORAGE).missing
