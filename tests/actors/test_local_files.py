from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.local_files import open_regular, walk, write_whole


def names(folder: Path) -> list[str]:
    return sorted(uri for uri, _, _ in walk(os.fsencode(folder)))


def test_every_file_at_any_depth_with_its_size(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x y#?%20.jpg").write_bytes(b"123")
    (tmp_path / "empty").mkdir()
    ((uri, size, version),) = walk(os.fsencode(tmp_path))
    assert (uri, size) == (f"{tmp_path}/a/b/x y#?%20.jpg", 3)
    assert version is not None


def test_links_to_files_and_folders_are_followed_and_a_loop_ends(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "x.jpg").write_bytes(b"1")
    (real / "loop").symlink_to(real)
    (tmp_path / "linked").symlink_to(real)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    found = [f"{tmp_path}/{name}" for name in ("gone.jpg", "linked/x.jpg", "real/x.jpg", "self.jpg")]
    assert names(tmp_path) == found


def test_a_name_that_is_no_text_becomes_a_file_uri(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"1")
    assert names(tmp_path) == [f"file://{tmp_path}/caf%E9.jpg"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused_without_waiting(make, tmp_path: Path) -> None:  # noqa: ANN001
    make(tmp_path / "x.jpg")
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(os.fsencode(tmp_path / "x.jpg"))


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x"
    write_whole(target, b"one", create=False)
    with pytest.raises(FileExistsError):
        write_whole(target, b"two", create=True)
    assert target.read_bytes() == b"one"
    write_whole(target, b"two", create=False)
    with pytest.raises(TypeError):
        write_whole(target, "no bytes", create=False)  # type: ignore[arg-type]
    assert target.read_bytes() == b"two"
    assert os.listdir(target.parent) == ["x"]  # noqa: PTH208  no half file is left either
