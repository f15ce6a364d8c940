"""Named points at which a test may strike, in drivers and workers. They do nothing unless `SHARDLENS_FAULTS` is set."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

VARIABLE = "SHARDLENS_FAULTS"

POINTS = (
    "open.listed",  # the inventory is written, the run is not recorded
    "open.recorded",
    "read.started",
    "read.fetched",
    "decode.done",
    "predict.loaded",
    "predict.started",
    "predict.done",
    "write.started",
    "write.between",  # the file of errors is written, that of rows is not
    "write.syncing",  # a part is written and not yet synced: what a slow or a hanging disk makes of fsync
    "write.staged",  # a part is whole, and not yet where readers look
    "write.stands",  # a part is where readers look, and nobody was told
    "write.done",
    "commit.collected",
    "commit.cleaned",  # what was left over is deleted
    "commit.manifest",
    "commit.success",
)


def fault(point: str) -> None:
    """Strikes here if a test has armed ``point``, else costs one look into the environment.

    `SHARDLENS_FAULTS` is ``POINT:HIT:ACTION:FOLDER``, several with semicolons between, all of a point with one folder.
    The hit of that number among all processes strikes, and no other: hits are counted by the files
    ``FOLDER/POINT.<number>``, which also tell a test from outside what was reached. Actions: ``mark`` only counts,
    ``kill`` ends the process, ``node`` its parent too, which for a worker is its Ray node, ``slow`` takes a few
    seconds, and ``hang`` goes on once there is a file ``FOLDER/go_on``, after an hour at the latest.
    """
    armed = os.environ.get(VARIABLE)
    if not armed:
        return
    if point not in POINTS:
        raise ValueError(f"{point}: no fault point of that name")
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
            (folder / f"{point}.{number}").touch(exist_ok=False)
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
    until = time.monotonic() + 3600
    while time.monotonic() < until and not (folder / "go_on").exists():
        time.sleep(0.05)


def _slow(_: Path) -> None:
    time.sleep(3)


def _mark(_: Path) -> None:
    pass


_ACTIONS = {"mark": _mark, "kill": _kill, "node": _kill_node, "hang": _hang, "slow": _slow}
