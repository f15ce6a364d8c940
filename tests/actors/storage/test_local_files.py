from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.storage.local_files import (
    LocalFile,
    describe,
    describe_file,
    oddity,
    open_regular,
    subfolders,
    walk,
    write_whole,
)
from actors.storage.retries import Retry


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


def test_what_stands_in_the_place_of_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    found = {name: oddity(os.fsencode(tmp_path / name)) for name in ("pipe", "gone", "file", "link", "never")}
    assert found == {"pipe": "special file", "gone": "dangling link", "file": None, "link": None, "never": None}
    sizes = {uri.rpartition("/")[2]: size for uri, size, _ in walk(os.fsencode(tmp_path))}
    assert sizes == {"pipe": None, "gone": None, "file": 0, "link": 0}


def test_a_folder_that_goes_away_while_it_is_listed_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").touch()
    told: list[str] = []
    listing = walk(os.fsencode(tmp_path), lambda uri, error: told.append(f"{uri} {type(error).__name__}"))
    first = next(listing)[0]
    gone = tmp_path / ("b" if first.endswith("a/x.jpg") else "a")
    (gone / "x.jpg").unlink()
    gone.rmdir()
    assert list(listing) == []
    assert told == [f"{gone} FileNotFoundError"]
    with pytest.raises(FileNotFoundError):
        next(walk(os.fsencode(gone), lambda *_: None))  # the folder itself


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


def test_a_file_is_described_as_it_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"123")
    path = os.fsencode(tmp_path / "x")
    assert describe(path) == (str(tmp_path / "x"), *describe_file(path))
    assert describe_file(path)[0] == 3
    with pytest.raises(FileNotFoundError):
        describe_file(path + b"y")


def test_folders_one_level_below(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    (tmp_path / "file").touch()
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")  # noqa: PTH102  bytes paths
    found = subfolders(os.fsencode(tmp_path))
    assert sorted(found) == [f"{tmp_path}/a", f"{tmp_path}/linked", f"file://{tmp_path}/%FF"]
    assert subfolders(os.fsencode(tmp_path / "none")) == []


def test_an_open_file_gives_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(10_000)
    (tmp_path / "x").write_bytes(data)
    with io.BufferedReader(LocalFile(os.fsencode(tmp_path / "x"), Retry())) as file:
        file.seek(100)
        assert file.read(5000) == data[100:5100]
        assert file.read() == data[5100:]


OUT_OF_REACH = "/proc/self/mem"  # the kernel answers reads of its first page with EIO


@pytest.mark.skipif(not Path(OUT_OF_REACH).exists(), reason="a file of Linux")
def test_reads_of_an_open_file_are_tried_again() -> None:
    with io.BufferedReader(LocalFile(OUT_OF_REACH.encode(), Retry(3, first_wait_s=0.001))) as file:
        with pytest.raises(OSError, match="Input/output error") as caught:
            file.read(10)
        assert caught.value.errno == errno.EIO
        assert caught.value.__notes__ == ["3 attempts"]


WRITE_MORE_THAN_ALLOWED = """
import pathlib, resource, signal, sys
from actors.storage.local_files import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write_whole(pathlib.Path(sys.argv[1]), bytes(99_999), create=False)
try:
    write_whole(pathlib.Path(sys.argv[1]), bytes(200_000), create=False)
except OSError as error:
    print(error.errno)
"""


def test_a_write_that_the_system_breaks_off_leaves_no_half_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_MORE_THAN_ALLOWED, str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(errno.EFBIG)
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("x", 99_999)]


def test_a_full_disk_takes_no_half_file(tmp_path: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        write_whole(tmp_path / "x", b"small", create=False)
        with pytest.raises(OSError, match="No space left on device"):
            write_whole(tmp_path / "x", bytes(100_000), create=False)
        assert (tmp_path / "x").read_bytes() == b"small"
        assert os.listdir(tmp_path) == ["x"]  # noqa: PTH208
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
