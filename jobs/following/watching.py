"""Finds new checkpoints once they are complete: unchanged between two listings. Runs on the driver."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from actors.messages import redacted
from jobs.following.checkpoints import find_checkpoints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.storage.store import Storage
    from jobs.following.checkpoints import Checkpoint

LOG = logging.getLogger("shardlens")


class Watch:
    """Lists the checkpoints repeatedly.

    Args:
        path: absolute path or URI.
        pattern: `checkpoints.pattern`.
        poll_s: minimum seconds between two listings.
        storage: storage of the checkpoints.
    """

    def __init__(self, path: str, pattern: str | None, poll_s: float, storage: Storage) -> None:
        self._path = path
        self._pattern = pattern
        self._poll_s = poll_s
        self._storage = storage
        self._versions: dict[str, str] | None = None
        self._done: dict[str, str] = {}
        self._next_at = 0.0
        self.has_pending = False
        """True if the last listing showed a checkpoint that may be incomplete."""

    @property
    def num_found(self) -> int:
        """Number of checkpoints in the last listing."""
        return len(self._versions or ())

    def wait(self) -> None:
        """Sleeps until the next listing is due."""
        time.sleep(max(0.0, self._next_at - time.monotonic()))

    def poll(self) -> list[Checkpoint]:
        """Returns checkpoints that are complete but not done, by time of change, then by natural order of names."""
        self._next_at = time.monotonic() + self._poll_s
        found = find_checkpoints(self._path, self._pattern, self._storage)
        if self._versions is None and not found:
            LOG.info("%s: no checkpoint yet; waiting", redacted(self._path))
        before, self._versions = self._versions or {}, {one.uri: one.version for one in found}
        for uri in before.keys() - self._versions.keys():
            if self._done.get(uri) != before[uri]:
                LOG.warning("%s: removed before it was evaluated", redacted(uri))
        fresh = [one for one in found if self._done.get(one.uri) != one.version]
        complete = [one for one in fresh if before.get(one.uri) == one.version]
        self.has_pending = len(complete) < len(fresh)
        return self._in_order(complete)

    def is_current(self, checkpoint: Checkpoint) -> bool:
        """Returns True if storage still holds this version of the checkpoint."""
        found = find_checkpoints(self._path, self._pattern, self._storage)
        return any((one.uri, one.version) == (checkpoint.uri, checkpoint.version) for one in found)

    def finish(self, checkpoint: Checkpoint) -> None:
        """Marks this version of the checkpoint as done."""
        self._done[checkpoint.uri] = checkpoint.version

    def _in_order(self, checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
        timed = []
        for checkpoint in checkpoints:
            try:
                timed.append(checkpoint.timed(self._storage))
            except FileNotFoundError:  # removed since the listing; the next one shows it
                self.has_pending = True
        return sorted(timed, key=lambda one: (one.modified_at, one.order))
