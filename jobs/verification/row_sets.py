"""Sets of inventory rows as arrays: parsing, counting and set operations, without a loop over rows.

Spans are int64 arrays of shape (n, 3): shard, first row, and one past the last row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cover(NamedTuple):
    """Difference between listed and found rows, as spans ordered by (shard, row)."""

    missing: np.ndarray
    doubled: np.ndarray
    never_listed: np.ndarray


NOTHING = np.empty((0, 3), np.int64)


def parse(content: object) -> np.ndarray:
    """Parses ``{shard: [[start, stop], ...]}``, the form in manifests and receipts; keeps the order.

    Raises:
        ValueError: ``content`` is malformed.
    """
    try:
        rows = [(int(shard), start, stop) for shard, runs in content.items() for start, stop in runs]  # type: ignore[attr-defined]
    except (AttributeError, TypeError) as error:
        raise ValueError(f"not ranges by shard: {error}") from error
    spans = np.array(rows) if rows else NOTHING
    if spans.dtype.kind != "i" or (spans < 0).any() or (spans > _MAX_INT32).any() or (spans[:, 1] >= spans[:, 2]).any():
        raise ValueError("not ranges by shard: a range is a pair of integers, the first less than the second")
    return spans


def count(spans: np.ndarray) -> int:
    """Returns the number of rows; a row in two spans counts twice."""
    return int((spans[:, 2] - spans[:, 1]).sum())


def merged(spans: np.ndarray) -> np.ndarray:
    """Returns the same rows in the fewest spans, ordered by (shard, row)."""
    edges, inside, _ = _sweep(spans, NOTHING)
    return _segments(edges, inside > 0)


def compare(listed: np.ndarray, found: np.ndarray) -> Cover:
    """Compares the rows in ``found`` with ``listed``, which must not hold a row twice."""
    # A sweep over numpy arrays takes 17 ms for 10 million rows in 218,000 spans; window functions in DuckDB 290 ms.
    edges, num_listed, num_found = _sweep(listed, found)
    return Cover(
        missing=_segments(edges, (num_listed > 0) & (num_found == 0)),
        doubled=_segments(edges, num_found > 1),
        never_listed=_segments(edges, (num_listed == 0) & (num_found > 0)),
    )


def expand(spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expands spans to the shard and row number of every row, in order."""
    sizes = spans[:, 2] - spans[:, 1]
    first = np.repeat(spans[:, 1] - (np.cumsum(sizes) - sizes), sizes)
    return np.repeat(spans[:, 0], sizes), first + np.arange(len(first))


def chosen(spans: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the spans of the rows whose ``mask`` is true; the mask is in the order of `expand`."""
    shards, rows = (places[mask] for places in expand(spans))
    return merged(np.column_stack([shards, rows, rows + 1]))


def describe(spans: np.ndarray) -> Iterator[str]:
    """Yields one text per shard, such as ``shard 3: rows 5-7, 9 (4 rows)``; of many ranges, only the first."""
    shards, starts = np.unique(spans[:, 0], return_index=True)
    for shard, start, stop in zip(shards, starts, [*starts[1:], len(spans)], strict=False):
        own = spans[start:stop]
        named = ", ".join(_name(start, stop) for _, start, stop in own[:_NUM_NAMED])
        more = ", …" if len(own) > _NUM_NAMED else ""
        num_rows = count(own)
        yield f"shard {shard}: row{'s' * (num_rows > 1)} {named}{more} ({num_rows:,} row{'s' * (num_rows > 1)})"


def num_shards(spans: np.ndarray) -> int:
    """Returns the number of distinct shards, and thus of texts from `describe`."""
    return len(np.unique(spans[:, 0]))


def of_sizes(sizes: np.ndarray, *, first_shard: int = 0) -> np.ndarray:
    """Returns the spans of all rows of consecutive shards with these sizes."""
    stops = sizes.astype(np.int64)
    shards = np.arange(first_shard, first_shard + len(stops))
    return np.column_stack([shards, np.zeros_like(stops), stops])[stops > 0]


_MAX_INT32 = 2**31 - 1  # the type of shard and row in an inventory
_SHARD_BITS = 32  # a row number needs 31, so spans of two shards are never adjacent
_NUM_NAMED = 8  # maximum ranges of one shard in a finding


def _name(start: int, stop: int) -> str:
    return f"{start}" if stop - start == 1 else f"{start}-{stop - 1}"


def _sweep(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the sorted edges of two sets of spans, and for each edge the number of spans of either set that cover the
    rows after it.
    """
    edges = [(spans[:, 0] << _SHARD_BITS) + spans[:, side] for spans in (first, second) for side in (1, 2)]
    lengths = [len(part) for part in edges]
    positions = np.concatenate(edges)
    order = np.argsort(positions, kind="stable")
    over_first, over_second = (np.cumsum(np.repeat(steps, lengths)[order]) for steps in ([1, -1, 0, 0], [0, 0, 1, -1]))
    return positions[order], over_first, over_second


def _segments(edges: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the spans of the rows after each chosen edge; adjacent spans are joined."""
    is_wide = np.diff(edges) > 0
    starts, stops = edges[:-1][is_wide & chosen[:-1]], edges[1:][is_wide & chosen[:-1]]
    # Row 0 of a shard is never the stop of the one before, see _SHARD_BITS.
    touches = starts[1:] == stops[:-1]
    starts, stops = starts[np.append(True, ~touches)[: len(starts)]], stops[np.append(~touches, True)[: len(stops)]]
    mask = (1 << _SHARD_BITS) - 1
    return np.column_stack([starts >> _SHARD_BITS, starts & mask, stops & mask])
