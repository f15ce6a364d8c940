"""Named points in drivers and workers at which tests inject faults. No-ops unless `SHARDLENS_FAULTS` is set."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "SHARDLENS_FAULTS"

POINTS = (
    "open.listed",  # the inventory is written, but the run is not recorded
    "open.recorded",
    "read.started",
    "read.fetched",
    "decode.started",  # of a picture that is cut into tiles
    "decode.done",
    "predict.loaded",
    "predict.started",
    "predict.done",
    "write.started",
    "write.between",  # the error file is written, the row file is not
    "write.syncing",  # a part is written but not yet synced, as on a slow or hanging disk
    "write.staged",  # a part is complete but not yet visible to readers
    "write.stands",  # a part is visible to readers but not yet counted
    "write.done",
    "commit.collected",
    "commit.cleaned",  # leftover parts are deleted
    "commit.errors",  # an error file without rows is written
    "commit.manifest",
    "commit.success",
)


def fault(point: str) -> None:
    """Injects a fault if a test has armed ``point``; otherwise costs one look-up in the environment.

    `SHARDLENS_FAULTS` is a list of ``POINT:HIT:ACTION:FOLDER`` entries, separated by semicolons; all entries for a
    point name the same folder. Hits in all processes are counted by the files ``FOLDER/POINT.<number>``, which a test
    can watch. Hit number HIT runs the action: ``mark`` only counts, ``kill`` ends the process, ``node`` also ends its
    parent, the Ray node of a worker, ``slow`` takes 3 seconds, and ``hang`` waits for the file ``FOLDER/go_on``, an
    hour at most.
    """
    armed = os.environ.get(VARIABLE)
    if not armed:
        return
    if point not in POINTS:
        raise ValueError(f"{point}: unknown fault point")
    here = [entry.split(":", 3) for entry in armed.split(";") if entry.startswith(f"{point}:")]
    if here:
        number = _count(Path(here[0][3]), point)
        for _, hit, action, _ in here:
            if number == int(hit):
                _ACTIONS[action](Path(here[0][3]))


def _count(folder: Path, point: str) -> int:
    number = 1
    while True:
        try:
            (folder / f"{point}.{number}").touch(exist_ok=False)  # atomic, so each hit in any process counts once
        except FileExistsError:
            number += 1
        else:
            return number


def _kill(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_node(folder: Path) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    _kill(folder)


def _hang(folder: Path) -> None:
    until = time.monotonic() + 3600  # seconds; a test that dies must not leave a process behind forever
    while time.monotonic() < until and not (folder / "go_on").exists():
        time.sleep(0.05)


def _slow(_: Path) -> None:
    time.sleep(3)


def _mark(_: Path) -> None:
    pass


_ACTIONS = {"mark": _mark, "kill": _kill, "node": _kill_node, "hang": _hang, "slow": _slow}
