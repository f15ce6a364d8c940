"""What a finished part proves: the rows of the inventory that it holds. Written by the sink, read by the commit.

Each file stands alone: one under ``rows/`` holds predicted rows, one under ``errors/`` rows with an error.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from actors.columns import ROW, SHARD
from actors.json_documents import MAX_BYTES, parse_object
from actors.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

# Half-open [start, stop) ranges of rows, ascending and apart from each other, by shard.
Ranges = dict[int, list[tuple[int, int]]]

FOOTER_KEY = b"shardlens.receipt"
PROVENANCE_KEY = b"shardlens.provenance"


class Piece(NamedTuple):
    """Rows of one shard that are to be done: the work of one read task."""

    shard: int
    ranges: tuple[tuple[int, int], ...]
    """As in `Ranges`."""

    @property
    def num_rows(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def cut(self, num_rows: int) -> Iterator[Piece]:
        """The same rows, in pieces of no more than ``num_rows``."""
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


@dataclass(frozen=True)
class Receipt:
    """The content of one file.

    Args:
        ranges: its rows, which lie in it in the order of (shard, row).
        summary: counts and seconds over them.
    """

    ranges: Ranges
    summary: Summary

    @classmethod
    def of(cls, table: pa.Table) -> Receipt:
        """The receipt of rows as the predictor gives them."""
        return cls(row_ranges(table), Summary.of(table))

    def to_footer(self) -> bytes:
        """JSON, for anyone to read: ``{"ranges": {shard: [[start, stop], ...]}, "summary": {...}}``."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_footer(cls, metadata: Mapping[bytes, bytes] | None) -> Receipt | None:
        """The receipt of a Parquet file's key-value metadata; None when it carries none.

        Raises:
            ValueError: it is damaged.
        """
        if not metadata or FOOTER_KEY not in metadata:
            return None
        content = parse_object(metadata[FOOTER_KEY], max_bytes=MAX_BYTES)
        try:
            ranges = {int(shard): _checked(runs) for shard, runs in content["ranges"].items()}
            summary = Summary.from_json(content["summary"])
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not a receipt: {error!r}") from error
        if count(ranges) != summary.num_images:
            raise ValueError(f"{count(ranges):,} rows in its ranges, and {summary.num_images:,} images in its summary")
        return cls(ranges, summary)


def row_ranges(table: pa.Table) -> Ranges:
    """The ranges of the rows of ``table`` (columns `SHARD` and `ROW`), which are in any order, none twice."""
    shards, rows = table[SHARD].to_numpy(), table[ROW].to_numpy()
    return {int(shard): _runs(np.sort(rows[shards == shard])) for shard in np.unique(shards)}


def count(ranges: Ranges) -> int:
    """Number of rows in ``ranges``."""
    return sum(stop - start for runs in ranges.values() for start, stop in runs)


def _checked(runs: Any) -> list[tuple[int, int]]:
    pairs = [(start, stop) for start, stop in runs]
    bounds = list(chain.from_iterable(pairs))
    is_whole = all(type(bound) is int for bound in bounds)
    if not bounds or not is_whole or bounds[0] < 0 or any(not low < high for low, high in pairwise(bounds)):
        raise ValueError("ranges that are no ascending numbers of rows")
    return pairs


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]
