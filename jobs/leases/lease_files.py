"""The numbered lease files of an output and their content. Used only by `lease`: on the driver, and in write tasks
through its `FencingToken`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.escapes import printable
from actors.storage.damage import is_damage
from actors.storage.json_documents import parse_object
from actors.storage.store import TooLargeError
from actors.storage.uris import join

if TYPE_CHECKING:
    from actors.storage.store import Storage


@dataclass(frozen=True)
class Holder:
    """Content of a lease file, as JSON. Other machines rely only on its changes, ``ttl_s`` and ``released``."""

    holder: str
    """Unique to one lease on one output."""
    run_id: str
    slices: int
    """Number of drivers that share that run."""
    host: str
    pid: int
    boot: str
    """Identifies this boot of the machine and the namespace of ``pid``; empty if the system has no such identifiers."""
    started: str
    """Start of the process, in ticks since the boot: distinguishes it from a later process with the same ``pid``."""
    since: str
    """Wall clock of ``host``, for people: never compared."""
    beat: int
    ttl_s: float
    released: bool

    @classmethod
    def from_bytes(cls, data: bytes) -> Holder | None:
        """Parses a lease file; returns None if ``data`` is not a complete one."""
        try:
            content = parse_object(data)
        except ValueError:
            return None
        kinds = get_type_hints(cls)
        is_whole = all(isinstance(content.get(name), kind) for name, kind in kinds.items())
        # os.kill interprets 0 and negative numbers as process groups, and overflows from 2**31 on.
        if not is_whole or not 0 < content["ttl_s"] <= MAX_TTL_S or not 0 < content["pid"] < 1 << 31:
            return None
        return cls(**{name: content[name] for name in kinds})

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()

    def is_dead(self) -> bool:
        """Returns True if its process has certainly ended, False if that is unknown here.

        Machines may share a host name, so only the same boot and pid namespace prove it.
        """
        if not (self.boot and self.started) or (self.host, self.boot) != (socket.gethostname(), _boot()):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # alive, owned by another user
        # A different start means that a later process has the pid; an empty one, a zombie.
        return _started(self.pid) not in (self.started, None)

    def __str__(self) -> str:
        run = f"run {self.run_id}, " if self.run_id else ""
        return printable(f"{run}process {self.pid} on host {self.host}, since {self.since}")


def this_process(run_id: str, slices: int, ttl_s: float) -> Holder:
    """Creates the holder for a new lease by this process."""
    return Holder(
        holder=uuid.uuid4().hex,
        run_id=run_id,
        slices=slices,
        host=socket.gethostname(),
        pid=os.getpid(),
        boot=_boot(),
        started=_started(os.getpid()) or "",
        since=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        beat=0,
        ttl_s=float(ttl_s),
        released=False,
    )


@dataclass(frozen=True)
class LeaseFiles:
    """Files ``<root>/_lease/<number>.json``; the highest number holds the lease and is never deleted."""

    root: str
    storage: Storage

    def uri(self, number: int) -> str:
        return join(self.root, "_lease", f"{number:08}.json")

    def highest(self) -> int:
        """Returns the highest number, 0 if there are no files."""
        return max(self._numbers(), default=0)

    def read(self, number: int) -> bytes | None:
        """Reads a lease file: returns None if it is missing, empty bytes if it is not a file or far too long."""
        try:
            return self.storage.read(self.uri(number), max_bytes=_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            if isinstance(error, TooLargeError) or is_damage(error):
                return b""
            raise

    def is_of(self, number: int, holder: Holder) -> bool:
        """Returns True if the file of that number is the holder's."""
        current = Holder.from_bytes(self.read(number) or b"")
        return current is not None and current.holder == holder.holder

    def write(self, number: int, holder: Holder) -> None:
        # Not conditional: whoever took over holds a higher number, so a late write changes nothing.
        self.storage.write(self.uri(number), holder.to_bytes())

    def create(self, number: int, holder: Holder) -> bool:
        """Creates the file of that number; returns False if another holder was first."""
        try:
            self.storage.write(self.uri(number), holder.to_bytes(), create=True)
        except (OSError, BaseError) as error:
            # An attempt whose response was lost may have created the file, and S3 may respond 409 without a file.
            if self.is_of(number, holder):
                return True
            if isinstance(error, FileExistsError):
                return False
            raise
        return True

    def check_store(self, number: int, holder: Holder) -> None:
        """Raises `JobError` if the store overwrites the holder's file in a conditional create.

        One overwrite proves nothing: another holder may just have deleted the file because its number was lower.
        """
        for _ in range(_CHECKS):
            try:
                self.storage.write(self.uri(number), holder.to_bytes(), create=True)
            except FileExistsError:
                return
            if self.highest() > number:
                return
        raise JobError(
            f"output.path={self.root}: this store ignores conditional writes, so two runs could hold one output",
            fix="use a store that supports conditional writes (If-None-Match on PUT)",
        )

    def delete_below(self, number: int) -> None:
        self.storage.delete(self.uri(older) for older in self._numbers() if older < number)

    def _numbers(self) -> list[int]:
        try:
            uris = [uri for batch in self.storage.list(join(self.root, "_lease")) for uri in batch["uri"].to_pylist()]
        except FileNotFoundError:
            return []
        return [int(name[1]) for uri in uris if (name := re.search(r"/_lease/(\d{8,})\.json$", uri))]


_CHECKS = 3  # overwrites in a row that show a store without conditional writes
_MAX_BYTES = 1 << 16  # a lease has less than 1 kB
MAX_TTL_S = 3600.0  # a damaged or foreign file must not make other drivers wait longer


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Containers share the boot of their machine, but each numbers its processes from 1.
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Returns the start of the process; empty for a zombie, None if it cannot be read."""
    try:
        # The name of the program precedes these in parentheses, and may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    # Fields 3 and 22 of proc(5): the state, and the start in ticks since the boot.
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
