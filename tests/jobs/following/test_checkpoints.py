from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from places import Place

from actors.storage.store import Storage
from jobs.following.checkpoints import find_checkpoints

FILES = (
    "epoch-10.pt", "epoch-9.pt", "last.ckpt", "notes.txt", ".epoch-11.pt.tmp", "epoch-1/logs/x.pt", "vocab/words.json",
    "step-2/config.json", "step-2/model.safetensors", "step-10/bundle.json", "step-10/model.onnx",
)  # fmt: skip


def found(place: Place, pattern: str | None) -> list[str]:
    return [one.name for one in find_checkpoints(place.root, pattern, Storage(place.options))]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (None, ["epoch-9.pt", "epoch-10.pt", "last.ckpt", "step-2", "step-10"]),
        ("epoch-*", ["epoch-9.pt", "epoch-10.pt"]),
        ("step-*", ["step-2", "step-10"]),
        ("*.txt", ["notes.txt"]),
        ("**/*.pt", ["epoch-1/logs/x.pt", "epoch-9.pt", "epoch-10.pt"]),
        ("step-*/model.*", ["step-2/model.safetensors", "step-10/model.onnx"]),
        ("nothing", []),
    ],
)
def test_files_and_folders_of_a_place_in_natural_order(place: Place, pattern: str | None, names: list[str]) -> None:
    for name in FILES:
        place.put(name, name.encode())
    assert found(place, pattern) == names


def test_a_place_that_is_not_there_has_none(place: Place) -> None:
    assert found(place, None) == []


def test_the_digest_of_a_file_is_its_own_and_a_folder_changes_with_each_file(place: Place) -> None:
    storage = Storage(place.options)
    for name in FILES:
        place.put(name, name.encode())
    checkpoints = {one.name: one for one in find_checkpoints(place.root, None, storage)}
    assert checkpoints["epoch-9.pt"].digest(storage) == hashlib.sha256(b"epoch-9.pt").hexdigest()
    before = checkpoints["step-2"]
    assert before.uri == f"{place.root}/step-2"
    assert before.size_bytes == sum(len(name) for name in FILES if name.startswith("step-2/"))
    digest = before.digest(storage)
    place.put("step-2/model.safetensors", b"STEP-2/model.safetensors")
    after = next(one for one in find_checkpoints(place.root, None, storage) if one.name == "step-2")
    assert after.version != before.version
    assert after.digest(storage) != digest
    assert after.timed(storage).modified_at is not None


def test_a_checkpoint_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    (checkpoint,) = find_checkpoints(str(tmp_path), None, Storage())
    (tmp_path / "a.pt").unlink()
    for ask in (checkpoint.digest, checkpoint.timed):
        with pytest.raises(FileNotFoundError):
            ask(Storage())
