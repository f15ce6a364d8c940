from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actors.fault_injection import POINTS, VARIABLE, fault

HIT = "from actors.fault_injection import fault\nfault('read.started')\nprint('alive')"


def test_nothing_happens_unless_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    fault("read.started")


def test_only_the_hit_of_that_number_strikes_whatever_the_process(tmp_path: Path) -> None:
    environment = {VARIABLE: f"read.started:2:kill:{tmp_path}"}
    ends = [subprocess.run([sys.executable, "-c", HIT], env=environment, check=False).returncode for _ in range(3)]
    assert ends == [0, -signal.SIGKILL, 0]
    assert {path.name for path in tmp_path.iterdir()} == {f"read.started.{number}" for number in (1, 2, 3)}


def test_two_strikes_at_one_point_count_its_hits_together(tmp_path: Path) -> None:
    environment = {VARIABLE: f"read.started:2:kill:{tmp_path};read.started:3:kill:{tmp_path}"}
    ends = [subprocess.run([sys.executable, "-c", HIT], env=environment, check=False).returncode for _ in range(4)]
    assert ends == [0, -signal.SIGKILL, -signal.SIGKILL, 0]


def test_points_are_armed_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"write.done:1:mark:{tmp_path};read.started:9:kill:{tmp_path}")
    fault("write.done")
    fault("read.started")
    fault("decode.done")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["read.started.1", "write.done.1"]


def test_what_hangs_goes_on_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"write.syncing:1:hang:{tmp_path}")
    thread = threading.Thread(target=fault, args=("write.syncing",))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    (tmp_path / "go_on").touch()
    thread.join(30)
    assert not thread.is_alive()


def test_a_misspelt_point_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"write.done:1:mark:{tmp_path}")
    with pytest.raises(ValueError, match="nowhere"):
        fault("nowhere")


def test_every_point_stands_in_the_code() -> None:
    root = Path(__file__).parents[2]
    sources = [path.read_text() for folder in ("jobs", "actors") for path in (root / folder).rglob("*.py")]
    found = {point for source in sources for point in re.findall(r'\bfault\("([a-z.]+)"\)', source)}
    assert found == set(POINTS)
