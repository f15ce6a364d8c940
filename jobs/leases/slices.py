"""Splits a run among several drivers: their shards, and their leases on the output. Runs on each driver."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError
from actors.storage.uris import join
from actors.writing.staging import end_attempts
from jobs.leases.lease import HeldError, hold, is_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from actors.storage.store import Storage
    from jobs.job import RunConfig
    from jobs.leases.lease import Lease


@dataclass(frozen=True)
class Slice:
    """Shards of a run that one driver processes: every ``count``-th, starting at ``index``."""

    index: int = 0
    count: int = 1

    @classmethod
    def of(cls, run: RunConfig) -> Slice:
        """Reads the slice from the config.

        Raises:
            JobError: the slice does not exist, or the slices could not identify each other.
        """
        if not 0 <= run.slice < run.slices:
            raise JobError(
                f"run.slice={run.slice}, run.slices={run.slices}: there is no such slice",
                fix="set run.slices to at least 1, and give each driver its own run.slice from 0 to run.slices - 1",
            )
        if run.slices > 1 and not run.id:
            raise JobError(
                f"run.slices={run.slices}: without run.id each slice would open a run of its own",
                fix="give all slices the same run.id",
            )
        if run.slices > 1 and run.redrive:
            raise JobError(
                f"run.redrive=true, run.slices={run.slices}: error rows are tried again by one driver",
                fix="omit run.slices and run.slice",
            )
        return cls(run.slice, run.slices)

    @property
    def is_whole(self) -> bool:
        """True if one driver processes the whole run."""
        return self.count == 1

    def owns(self, num_shards: int) -> np.ndarray:
        """Returns a mask of this slice's shards: bool (num_shards)."""
        own = np.zeros(num_shards, np.bool_)
        own[self.index :: self.count] = True
        return own

    def __str__(self) -> str:
        return f"slice {self.index} of {self.count}"


@dataclass(frozen=True)
class OutputLock:
    """Leases that one driver holds on an output while it works.

    A slice holds its own lease, below ``<output>/_slices/<run id>/<slices>/<slice>``. It holds the lease on the output
    only to open the run and to publish it. No other run may be opened while slices of a run are active.

    Args:
        root: `output.path`, absolute.
        storage: storage of the output.
        part: slice of this driver.
        run_id: identifies the slices of one run to each other.
        lease_s: `run.lease_s`.
        on_lost: called once with the error, in another thread, when a lease is lost.
    """

    root: str
    storage: Storage
    part: Slice
    run_id: str
    lease_s: float
    on_lost: Callable[[Exception], None]

    @contextmanager
    def hold(self) -> Iterator[Lease]:
        """Holds the output, or the slice, for the duration of the context.

        Raises:
            HeldError: another driver holds it.
        """
        if self.part.is_whole:
            with self._lease(self.root) as lease:
                self._refuse_strangers()
                yield lease
            return
        place = join(_folder(self.root), self.run_id, str(self.part.count), str(self.part.index))
        with self._lease(place) as lease:
            yield lease

    @contextmanager
    def enter(self) -> Iterator[Lease | None]:
        """Holds the whole output; waits for other slices of the run. Yields the lease, or None if the driver already
        holds the output.

        Raises:
            HeldError: another driver holds the output, or slices of another run.
        """
        if self.part.is_whole:
            yield None
            return
        with self._lease(self.root, slices=self.part.count) as lease:
            self._refuse_strangers()
            yield lease

    def seal(self) -> None:
        """Ends all attempts at the run, so that its folders no longer change. Must be called with the output held, once
        no image is missing. Remaining writers can then add nothing, except on object stores.
        """
        end_attempts(self.root)
        if not self.part.is_whole:
            for place in self.storage.children(join(_folder(self.root), self.run_id, str(self.part.count))):
                end_attempts(place)

    def _lease(self, place: str, slices: int = 1) -> AbstractContextManager[Lease]:
        return hold(place, self.storage, run_id=self.run_id, slices=slices, ttl_s=self.lease_s, on_lost=self.on_lost)

    def _refuse_strangers(self) -> None:
        """Raises HeldError if a slice of another run, or of another division of this one, is active; removes the files
        of dead slices. Must be called with the output held.
        """
        files_of: dict[str, list[str]] = defaultdict(list)
        for uri in _files(_folder(self.root), self.storage):
            found = re.fullmatch(r"(.*/_slices/([^/]+)/(\d+)/\d+)/_lease/[^/]+", uri)
            # Slices of the same run and division coexist, each protected by its own lease.
            if found and (found[2], int(found[3])) != (self.run_id, self.part.count):
                files_of[found[1]].append(uri)
        for place, uris in files_of.items():
            if not is_free(place, self.storage, ttl_s=self.lease_s):
                raise HeldError(
                    f"output.path={self.root}: a slice of another run is using this output ({place})\n"
                    "  fix: wait for its end, or stop it, or choose another output.path"
                )
            # Workers of a dead driver may still run on other machines.
            end_attempts(place)
            self.storage.delete(uris)


def _folder(root: str) -> str:
    return join(root, "_slices")


def _files(folder: str, storage: Storage) -> list[str]:
    try:
        return [uri for batch in storage.list(folder) for uri in batch["uri"].to_pylist()]
    except FileNotFoundError:
        return []
