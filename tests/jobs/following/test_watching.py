from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from actors.storage.store import Storage
from jobs.following.watching import Watch


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(str(tmp_path / "ck"), None, 0.1, Storage())


def write(watch: Watch, name: str, data: bytes, *, at_s: int) -> None:
    path = Path(watch._path) / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at_s, at_s))


def names(watch: Watch) -> list[str]:
    return [one.name for one in watch.poll()]


def test_a_checkpoint_is_complete_once_two_listings_agree(watch: Watch) -> None:
    assert (names(watch), watch.has_pending, watch.num_found) == ([], False, 0)
    write(watch, "a.pt", b"hal", at_s=10)
    assert (names(watch), watch.has_pending, watch.num_found) == ([], True, 1)
    write(watch, "a.pt", b"half", at_s=11)
    assert (names(watch), watch.has_pending) == ([], True)
    (checkpoint,) = watch.poll()
    assert (checkpoint.name, watch.has_pending) == ("a.pt", False)
    assert watch.is_current(checkpoint)
    assert names(watch) == ["a.pt"], "until it is done"
    watch.finish(checkpoint)
    assert names(watch) == []
    write(watch, "a.pt", b"over", at_s=12)
    assert not watch.is_current(checkpoint)
    assert (names(watch), names(watch)) == ([], ["a.pt"])


def test_the_order_is_that_of_the_training(watch: Watch) -> None:
    for name, at_s in (("b-10.pt", 5), ("b-9.pt", 5), ("z.pt", 1), ("a.pt", 7)):
        write(watch, name, name.encode(), at_s=at_s)
    assert (names(watch), names(watch)) == ([], ["z.pt", "b-9.pt", "b-10.pt", "a.pt"])


def test_one_that_is_removed_too_early_is_reported(
    watch: Watch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("shardlens"), "propagate", True)
    write(watch, "a.pt", b"a", at_s=1)
    write(watch, "b.pt", b"b", at_s=2)
    watch.poll()
    done, _ = watch.poll()
    watch.finish(done)
    for name in ("a.pt", "b.pt"):
        (Path(watch._path) / name).unlink()
    assert names(watch) == []
    assert {message for message in caplog.messages if "removed" in message} == {
        f"{watch._path}/b.pt: removed before it was evaluated"
    }
