from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from places import Place

from actors.errors import JobError
from actors.exporting.bundle_folder import check_place, staging
from actors.exporting.bundle_folder import place as put
from actors.models.bundle_files import RECORD
from actors.storage.store import Storage


def record(fingerprint: str) -> str:
    return json.dumps({
        "format": "shardlens-bundle", "version": 1,
        "forms": {"onnx": {
            "files": {"model.onnx": {"sha256": "0", "bytes": 0}}, "precision": "fp32", "postprocess": "none",
            "normalises": True, "inputs": [], "outputs": [],
        }},
        "architecture": None, "kwargs": {}, "preprocess": {}, "labels": None, "task": {}, "tolerance": {},
        "fingerprint": fingerprint, "files": {},
    })  # fmt: skip


def names_in(place: Place, storage: Storage) -> set[str]:
    found = [uri for batch in storage.list(place.root) for uri in batch["uri"].to_pylist()]
    return {uri.removeprefix(f"{place.root}/") for uri in found}


def test_a_bundle_is_placed_and_replaced_as_a_whole(place: Place) -> None:
    storage = Storage(place.options)
    for number in range(2):
        check_place(place.root, storage, "m1", overwrite=False)
        with staging(place.root) as folder:
            (folder / RECORD).write_text(record("m1"))
            (folder / "golden").mkdir()
            (folder / "golden" / f"{number}.txt").write_text("x")
            put(folder, place.root, storage)
        assert not folder.exists()
        assert names_in(place, storage) == {RECORD, f"golden/{number}.txt"}


def test_only_the_same_model_is_replaced_without_being_told(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(record("m1"))
    check_place(str(tmp_path), Storage(), "m1", overwrite=False)
    with pytest.raises(JobError, match=r"export\.path=.*bundle of another model, m1"):
        check_place(str(tmp_path), Storage(), "m2", overwrite=False)
    check_place(str(tmp_path), Storage(), "m2", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_files_are_never_replaced(tmp_path: Path, *, overwrite: bool) -> None:
    check_place(str(tmp_path), Storage(), "m1", overwrite=overwrite)
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(JobError, match="files other than a bundle"):
            check_place(str(path), Storage(), "m1", overwrite=overwrite)


def test_nothing_is_left_of_an_export_that_failed(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "model.onnx").touch()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), staging(str(tmp_path / "b")) as folder:
        fail(folder)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match=r"export\.path=.*cannot be written"), staging(str(tmp_path / "file" / "b")):
        pass


def test_the_earlier_bundle_stays_if_the_new_one_cannot_be_placed(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / RECORD).write_text(record("m1"))
    with staging(str(tmp_path / "b")) as folder:
        shutil.rmtree(folder)  # as if someone cleaned up
        with pytest.raises(JobError, match="cannot be written"):
            put(folder, str(tmp_path / "b"), Storage())
    assert (tmp_path / "b" / RECORD).read_text() == record("m1")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
