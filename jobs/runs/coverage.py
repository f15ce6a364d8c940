"""Tracks which rows of an inventory have an outcome, from the receipts of files. Runs on the driver; memory grows with
the number of shards, not of rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from actors.row_ranges import Piece, count

if TYPE_CHECKING:
    from actors.row_ranges import Ranges


class StrangeRowsError(Exception):
    """A receipt claims rows that the inventory does not list."""


class Coverage:
    """Rows covered by the files added so far.

    Args:
        sizes: number of rows of each shard.
        own: bool mask of the shards that this driver processes; all of them by default.
    """

    def __init__(self, sizes: np.ndarray, own: np.ndarray | None = None) -> None:
        self._sizes = sizes
        self._own = np.ones(len(sizes), np.bool_) if own is None else own
        # Four bytes per shard suffice: row numbers in the inventory are int32.
        self._num_done = np.zeros(len(sizes), np.int32)
        self._begun: Ranges = {}  # only for partially covered shards

    @property
    def num_listed(self) -> int:
        """Number of rows in this driver's shards."""
        return int(self._sizes[self._own].sum(dtype=np.int64))

    @property
    def num_listed_everywhere(self) -> int:
        """Number of rows in all shards."""
        return int(self._sizes.sum(dtype=np.int64))

    @property
    def num_rows(self) -> int:
        """Number of rows in this driver's shards with an outcome."""
        return int(self._num_done[self._own].sum(dtype=np.int64))

    @property
    def num_missing(self) -> int:
        """Number of rows in this driver's shards without an outcome."""
        return self.num_listed - self.num_rows

    @property
    def num_missing_elsewhere(self) -> int:
        """Number of rows in all other shards without an outcome."""
        return int((self._sizes - self._num_done)[~self._own].sum(dtype=np.int64))

    def concerns(self, ranges: Ranges) -> bool:
        """True if any of these rows belongs to this driver's shards."""
        return any(self._own[shard] for shard in ranges)

    def take(self, ranges: Ranges) -> bool:
        """Adds the rows of a file. If any of them already has an outcome, adds none and returns False.

        Raises:
            StrangeRowsError: the inventory does not list one of the rows.
        """
        for shard, runs in ranges.items():
            if not 0 <= shard < len(self._sizes) or runs[0][0] < 0 or runs[-1][1] > self._sizes[shard]:
                raise StrangeRowsError(f"shard {shard}, rows {runs[0][0]} to {runs[-1][1] - 1}")
            if _overlap([*self._done(shard), *runs]):
                return False
        for shard, runs in ranges.items():
            # Done after the loop above, so that a file that overlaps in its last shard adds nothing.
            merged = _merge([*self._done(shard), *runs])
            self._num_done[shard] += count({shard: runs})
            self._begun[shard] = merged
            if self._num_done[shard] == self._sizes[shard]:
                del self._begun[shard]
        return True

    def missing(self, *, limit: int | None = None) -> list[Piece]:
        """Returns the rows of this driver's shards without an outcome, one piece per shard in ascending order, at most
        ``limit``.
        """
        shards = np.flatnonzero(self._own & (self._num_done < self._sizes))[:limit]
        return [Piece(int(shard), tuple(self._gaps(int(shard)))) for shard in shards]

    def _done(self, shard: int) -> list[tuple[int, int]]:
        if self._num_done[shard] == self._sizes[shard]:
            return [(0, int(self._sizes[shard]))]
        return self._begun.get(shard, [])

    def _gaps(self, shard: int) -> list[tuple[int, int]]:
        done = self._done(shard)
        edges = [0, *(edge for run in done for edge in run), int(self._sizes[shard])]
        return [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if start < stop]


def _overlap(runs: list[tuple[int, int]]) -> bool:
    ordered = sorted(runs)
    return any(start < stop for (_, stop), (start, _) in pairwise(ordered))


def _merge(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(runs):
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged
