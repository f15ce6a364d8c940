from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.disk_cache import EXPORTS, NUM_KEPT, keep
from actors.errors import JobError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the cache folder."""
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exports"


class Maker:
    """Writes a file, and another in a folder beside it; counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: Path) -> None:
        self.count += 1
        (folder / "model").write_text(f"made {self.count} times")
        (folder / "data").mkdir()
        (folder / "data" / "weights").write_bytes(b"1234")


def always(_: Path) -> bool:
    return True


def test_what_is_made_once_is_found_again(root: Path) -> None:
    make = Maker()
    assert keep("a", make, always) == keep("a", make, always) == root / "a"
    assert keep("b", make, always) == root / "b"
    assert [(root / key / "model").read_text() for key in "ab"] == ["made 1 times", "made 2 times"]
    assert (root / "a" / "data" / "weights").read_bytes() == b"1234"


def cut(folder: Path) -> None:
    os.truncate(folder / "model", 3)


def flip(folder: Path) -> None:
    (folder / "data" / "weights").write_bytes(b"1235")


def lose(folder: Path) -> None:
    (folder / "data" / "weights").unlink()


def forget(folder: Path) -> None:
    (folder / "digests.json").unlink()


def garble(folder: Path) -> None:
    (folder / "digests.json").write_text("[1]")


def empty(folder: Path) -> None:
    (folder / "digests.json").write_text("{}")


@pytest.mark.parametrize("damage", [cut, flip, lose, forget, garble, empty])
def test_a_damaged_folder_is_made_again(root: Path, damage: Callable[[Path], None]) -> None:
    make = Maker()
    damage(keep("a", make, always))
    assert (keep("a", make, always) / "model").read_text() == "made 2 times"
    keep("a", make, always)
    assert make.count == 2
    assert sorted(path.name for path in root.iterdir()) == ["a", "a.lock"]


def test_an_outdated_folder_is_made_again() -> None:
    make = Maker()
    keep("a", make, always)
    keep("a", make, lambda folder: (folder / "model").read_text() != "made 1 times")
    assert make.count == 2


def test_nothing_is_kept_of_a_maker_that_fails(root: Path) -> None:
    def fail(folder: Path) -> None:
        Maker()(folder)
        raise KeyError("half way")

    with pytest.raises(KeyError, match="half way"):
        keep("a", fail, always)
    assert [path.name for path in root.iterdir()] == ["a.lock"]
    assert (keep("a", Maker(), always) / "model").is_file()


CODE = """
import os, sys, time
from pathlib import Path
from actors.disk_cache import keep

def make(folder):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    (folder / "model").write_text("whole")
    time.sleep(float(sys.argv[2]))
    if "die" in sys.argv:
        os._exit(9)

print(keep("a", make, lambda _: True))
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_processes_that_ask_at_once_one_makes_it(root: Path, tmp_path: Path) -> None:
    processes = [start(tmp_path / "log", 0.5) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in processes] == [str(root / "a")] * 3
    assert (tmp_path / "log").read_text() == "made\n"


def test_a_process_that_dies_while_it_makes_leaves_nothing_in_the_way(root: Path, tmp_path: Path) -> None:
    with start(tmp_path / "log", 0, "die") as process:
        assert process.wait() == 9
    assert (root / "a.part" / "model").read_text() == "whole"
    make = Maker()
    assert (keep("a", make, always) / "model").read_text() == "made 1 times"
    assert not (root / "a.part").exists()


def age(root: Path, key: str, seconds: int) -> None:
    used_s = (root / key).stat().st_mtime - seconds
    os.utime(root / key, (used_s, used_s))


def test_those_used_last_are_kept(root: Path) -> None:
    make = Maker()
    for place in range(NUM_KEPT[EXPORTS]):
        keep(f"old{place}", make, always)
        age(root, f"old{place}", 1000 - place)
    held = (root / "old1" / "model").open()
    keep("old0", make, always)  # counts as used
    keep("new", make, always)
    kept = {path.name for path in root.iterdir() if path.is_dir()}
    assert kept == {"new", "old0", *(f"old{place}" for place in range(2, NUM_KEPT[EXPORTS]))}
    assert not (root / "old1.lock").exists()
    with held:
        assert held.read() == "made 2 times"
    assert make.count == NUM_KEPT[EXPORTS] + 1


def test_what_another_process_is_busy_with_is_not_removed(root: Path) -> None:
    make = Maker()
    for place in range(NUM_KEPT[EXPORTS]):
        keep(f"old{place}", make, always)
        age(root, f"old{place}", 1000 - place)
    with (root / "old0.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        keep("new", make, always)
    assert (root / "old0").is_dir()
    keep("newer", make, always)
    assert not (root / "old0").exists()


def test_folders_are_the_users_alone(root: Path) -> None:
    keep("a", Maker(), always)
    for folder in (root.parent, root, root / "a"):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
@pytest.mark.parametrize("is_inner", [False, True])
def test_a_folder_that_others_may_write_to_is_refused(root: Path, mode: int, *, is_inner: bool) -> None:
    folder = root if is_inner else root.parent
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.raises(JobError, match=rf"{folder}: belongs to another user, or others .*\n.*SHARDLENS_CACHE"):
        keep("a", Maker(), always)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_a_folder_of_another_user_is_refused(root: Path) -> None:
    root.mkdir(parents=True)
    os.chown(root, 12345, -1)
    with pytest.raises(JobError, match="belongs to another user"):
        keep("a", Maker(), always)


def test_a_place_that_cannot_be_written_is_reported(root: Path) -> None:
    root.parent.mkdir()
    root.write_text("no folder")
    with pytest.raises(
        JobError, match=rf"{root}: exported models cannot be kept there: File exists\n.*SHARDLENS_CACHE"
    ):
        keep("a", Maker(), always)


def test_the_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARDLENS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert keep("a", Maker(), always) == tmp_path / "xdg" / "shardlens" / "exports" / "a"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert keep("a", Maker(), always) == tmp_path / "home" / ".cache" / "shardlens" / "exports" / "a"
