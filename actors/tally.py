"""Images that were predicted, counted once however often their batch is done. A part of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.work import Work


class Tally:
    """Two counts. They are for show and for the error budget; what is right is read from the parts.

    A batch that is done again does not count again, unless thousands of others ended in between: it mostly comes
    again at once, with the retry of its worker's task. So memory stays bounded.
    """

    def __init__(self) -> None:
        self.num_ok = 0
        self.num_errors = 0
        self._counted: dict[Work, None] = {}  # in order

    def add(self, work: Work, num_ok: int, num_errors: int) -> None:
        if not num_ok + num_errors or work in self._counted:
            return
        self.num_ok += num_ok
        self.num_errors += num_errors
        self._counted[work] = None
        if len(self._counted) > _MAX_COUNTED:
            del self._counted[next(iter(self._counted))]


_MAX_COUNTED = 4096
