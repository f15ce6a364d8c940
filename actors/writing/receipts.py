"""Receipts: proof, in a part's footer, of the inventory rows that it contains. Written by workers, read by the commit.

Each file is independent: files below ``rows/`` contain predicted rows, those below ``errors/`` failed rows.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

from actors.row_ranges import Ranges, count, row_ranges
from actors.storage.json_documents import MAX_BYTES, parse_object
from actors.writing.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


FOOTER_KEY = b"shardlens.receipt"
PROVENANCE_KEY = b"shardlens.provenance"


@dataclass(frozen=True)
class Receipt:
    """Content of one part.

    Args:
        ranges: rows of the part, sorted by (shard, row).
        summary: counts and seconds over these rows.
    """

    ranges: Ranges
    summary: Summary

    @classmethod
    def of(cls, table: pa.Table, counters: Mapping[str, int] | None = None) -> Receipt:
        """Returns the receipt of rows from the predictor, with the task's ``counters`` over them."""
        return cls(row_ranges(table), Summary.of(table, counters))

    def to_footer(self) -> bytes:
        """Encodes the receipt as JSON: ``{"ranges": {shard: [[start, stop], ...]}, "summary": {...}}``."""
        # JSON has only string keys, so shard numbers become text.
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_footer(cls, metadata: Mapping[bytes, bytes] | None) -> Receipt | None:
        """Decodes the receipt from the key-value metadata of a Parquet file; returns None if it has no receipt.

        Raises:
            ValueError: the receipt is damaged.
        """
        if not metadata or FOOTER_KEY not in metadata:
            return None
        content = parse_object(metadata[FOOTER_KEY], max_bytes=MAX_BYTES)
        try:
            ranges = {int(shard): _checked(runs) for shard, runs in content["ranges"].items()}
            summary = Summary.from_json(content["summary"])
        # Another program's footer may contain any JSON.
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"not a receipt: {error!r}") from error
        # Both cover the same rows: a difference means damage that still parses as JSON.
        if count(ranges) != summary.num_images:
            raise ValueError(
                f"the receipt has ranges of {count(ranges):,} rows, but a summary of {summary.num_images:,} images"
            )
        return cls(ranges, summary)


def _checked(runs: Any) -> list[tuple[int, int]]:
    pairs = [(start, stop) for start, stop in runs]
    bounds = list(chain.from_iterable(pairs))
    # Not isinstance: JSON's true is an int in Python.
    is_whole = all(type(bound) is int for bound in bounds)
    # Strictly ascending, since writers join adjacent ranges.
    if not bounds or not is_whole or bounds[0] < 0 or any(not low < high for low, high in pairwise(bounds)):
        raise ValueError("the ranges of the receipt are not ascending row numbers")
    return pairs
