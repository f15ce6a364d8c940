"""Rows of shards as half-open [start, stop) ranges, and pieces of work made from them. Used on driver and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from actors.columns import ROW, SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


Identity = tuple[int, int]
"""Shard and row of an image in the inventory."""
Ranges = dict[int, list[tuple[int, int]]]
"""Half-open [start, stop) ranges of rows by shard: ascending, disjoint and not adjacent."""


class Piece(NamedTuple):
    """Rows of one shard: the work of one read task."""

    shard: int
    ranges: tuple[tuple[int, int], ...]
    """Row ranges as in `Ranges`."""

    @property
    def num_rows(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def cut(self, num_rows: int) -> Iterator[Piece]:
        """Yields the same rows in pieces of at most ``num_rows``."""
        part: list[tuple[int, int]] = []
        room = num_rows
        for first, stop in self.ranges:
            start = first
            while stop - start >= room:
                yield Piece(self.shard, (*part, (start, start + room)))
                start, room, part = start + room, num_rows, []
            if start < stop:
                part.append((start, stop))
                room -= stop - start
        if part:
            yield Piece(self.shard, tuple(part))

    def __str__(self) -> str:
        rows = ", ".join(f"{start} to {stop - 1}" for start, stop in self.ranges)
        return f"shard {self.shard}, rows {rows}"


def row_ranges(table: pa.Table) -> Ranges:
    """Returns the ranges of the rows of ``table`` (columns `SHARD` and `ROW`), which are distinct and in any order."""
    shards, rows = table[SHARD].to_numpy(), table[ROW].to_numpy()
    return {int(shard): _runs(np.sort(rows[shards == shard])) for shard in np.unique(shards)}


def shards_and_rows(ranges: Ranges) -> tuple[np.ndarray, np.ndarray]:
    """Returns shard and row of each row in ``ranges``, sorted by both, as in a part. ``ranges`` may be empty."""
    runs = [(shard, start, stop) for shard, found in sorted(ranges.items()) for start, stop in found]
    shards = [np.full(stop - start, shard) for shard, start, stop in runs]
    none = np.empty(0, np.int64)
    return np.concatenate([none, *shards]), np.concatenate([none, *(np.arange(start, stop) for _, start, stop in runs)])


def count(ranges: Ranges) -> int:
    """Returns the number of rows in ``ranges``."""
    return sum(stop - start for runs in ranges.values() for start, stop in runs)


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]
