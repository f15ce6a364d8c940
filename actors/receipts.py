"""What a finished part proves: the rows of the inventory that it holds. Written by the sink, read by the commit.

One attempt at a piece of work writes at most two files, one of rows and one of errors, and both carry the same
receipt, so that either alone tells whether the attempt is complete.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from actors.columns import ROW, SHARD
from actors.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

# Half-open [start, stop) ranges of rows, ascending and apart from each other, by shard.
Ranges = dict[int, list[tuple[int, int]]]

FOOTER_KEY = b"shardlens.receipt"


@dataclass(frozen=True)
class Receipt:
    """The content of one attempt.

    Args:
        attempt: name of the attempt, unique in the run; both files are called ``<attempt>.parquet``.
        ok: rows in the file under ``rows/``; empty when there is no such file.
        errors: rows in the file under ``errors/``; likewise.
        summary: counts and seconds over both.
    """

    attempt: str
    ok: Ranges
    errors: Ranges
    summary: Summary

    def to_footer(self) -> bytes:
        """JSON, for anyone to read: ``{"attempt", "ok": {shard: [[start, stop], ...]}, "errors", "summary"}``."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_footer(cls, metadata: Mapping[bytes, bytes] | None) -> Receipt | None:
        """The receipt of a Parquet file's key-value metadata; None when it carries none."""
        if not metadata or FOOTER_KEY not in metadata:
            return None
        content = json.loads(metadata[FOOTER_KEY])
        return cls(
            content["attempt"],
            _ranges(content["ok"]),
            _ranges(content["errors"]),
            Summary(**content["summary"]),
        )


def row_ranges(table: pa.Table) -> Ranges:
    """The ranges of the rows of ``table`` (columns `SHARD` and `ROW`), which are in any order, none twice."""
    shards, rows = table[SHARD].to_numpy(), table[ROW].to_numpy()
    return {int(shard): _runs(np.sort(rows[shards == shard])) for shard in np.unique(shards)}


def count(ranges: Ranges) -> int:
    """Number of rows in ``ranges``."""
    return sum(stop - start for runs in ranges.values() for start, stop in runs)


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]


def _ranges(content: Mapping[str, list[list[int]]]) -> Ranges:
    return {int(shard): [(start, stop) for start, stop in runs] for shard, runs in content.items()}
