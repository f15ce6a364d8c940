from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage.whole_folders import path_of, replace_folder, staged_folder


def test_a_folder_appears_as_a_whole_in_place_of_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    for text in ("one", "two"):
        with staged_folder(str(target), "test") as folder:
            (folder / text).write_text(text)
            replace_folder(folder, target)
        assert [path.name for path in target.iterdir()] == [text]
        assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_nothing_is_left_of_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), staged_folder(str(tmp_path / "out"), "test") as folder:
        folder.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_the_earlier_folder_returns_where_the_rename_fails(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "kept").write_text("x")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "parent" / "gone", target)
    assert [path.name for path in target.iterdir()] == ["kept"]


def test_for_an_object_store_it_is_a_temporary_one() -> None:
    with staged_folder("s3://bucket/out", "test") as folder:
        assert folder.name.startswith("shardlens-test-")
        assert folder.is_dir()
    assert not folder.exists()
    assert path_of("file:///a%20b") == Path("/a b")
