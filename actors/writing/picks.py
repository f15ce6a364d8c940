"""A few rows of each part worth inspecting, as references in its footer. Picked by the sink, merged on the driver.

Merging is associative, and the result does not depend on how rows are divided into parts: each group keeps the first
rows of an order over all rows, so a page for a billion rows needs no more memory than one for a million.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import defaultdict
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow.compute as pc

from actors.columns import ERROR, IMAGE_ID, STAGE
from actors.storage.json_documents import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

PICKS_KEY = b"shardlens.picks"
MAX_BYTES = 32 << 10
"""Maximum size in bytes of a part's picks in its footer."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """An order of rows; the first ones are picked.

    Args:
        group: name of the group, or of a family of groups with ``names``; one of `LIMITS`.
        rank: float (n,), lowest first; rows of equal rank are in a reproducible random order, and NaN omits a row. None
            for a random sample of all rows.
        names: strings (n,) that divide the rows into the groups ``group/NAME``; null omits a row.
    """

    group: str
    rank: np.ndarray | None = None
    names: pa.Array | None = None


class Limit(NamedTuple):
    """Maximum number of groups in a family, and of rows in each."""

    groups: int
    rows: int


LIMITS = {
    "most_confident": Limit(1, 16),
    "least_confident": Limit(1, 16),
    "near_ties": Limit(1, 16),
    "mistakes": Limit(1, 16),
    "nothing_found": Limit(1, 16),
    "sample": Limit(1, 48),
    "class": Limit(40, 8),
    "cell": Limit(100, 3),
    "error": Limit(32, 4),
}


class Pick(NamedTuple):
    """One row of a group, in the order of the group."""

    rank: float
    key: int
    """Orders rows of equal rank randomly: a 32-bit hash of the image's id."""
    place: int
    """Position of the row in its part, from 0."""


Picks = dict[str, list[Pick]]
Ordered = TypeVar("Ordered", bound=tuple[Any, ...])


def pick_rows(table: pa.Table, rank: Callable[[pa.Table], Sequence[Ranking]]) -> Picks:
    """Picks rows of one part, using the rankings from ``rank``, or the kinds of their errors.

    Args:
        table: the part's rows in order, either all predicted or all with an error.
        rank: see `actors.tasks.base.Task.rankings`.
    """
    keys = _keys(table[IMAGE_ID])
    rankings = rank(table) if table[STAGE].null_count else [Ranking("error", names=_errors(table))]
    return {name: picks for ranking in rankings for name, picks in _first(ranking, keys)}


def merge(parts: Iterable[Mapping[str, Sequence[Ordered]]]) -> dict[str, list[Ordered]]:
    """Merges the picks of parts, or of merged parts, within `LIMITS`; each group in order."""
    merged: dict[str, list[Ordered]] = defaultdict(list)
    for part in parts:
        for name, picks in part.items():
            merged[name] += picks
            # Merged periodically: merging one by one costs a sort each, and all at the end, the memory of all parts.
            if len(merged[name]) > _SLACK * LIMITS[_family(name)].rows:
                merged[name] = nsmallest(LIMITS[_family(name)].rows, merged[name])
        if len(merged) > _SLACK * _MOST_GROUPS:
            merged = defaultdict(list, {name: merged[name] for name in _chosen(merged)})
    return {name: nsmallest(LIMITS[_family(name)].rows, merged[name]) for name in _chosen(merged)}


def to_footer(picks: Mapping[str, Sequence[Pick]]) -> bytes:
    """Encodes picks as JSON: ``{group: [[rank, key, place], ...]}``; at most `MAX_BYTES`."""
    return json.dumps(picks, separators=(",", ":")).encode()


def from_footer(metadata: Mapping[bytes, bytes] | None, *, num_rows: int) -> Picks:
    """Decodes the picks of a part of ``num_rows`` rows from the key-value metadata of its file; empty if it has none,
    as in earlier versions.

    Raises:
        ValueError: the picks are damaged.
    """
    if not metadata or PICKS_KEY not in metadata:
        return {}
    content = parse_object(metadata[PICKS_KEY], max_bytes=MAX_BYTES)
    for name, picks in content.items():
        if not _is_picks(name, picks, num_rows):
            raise ValueError(f"not picks of {num_rows:,} rows: {name:.100}={picks!r:.100}")
    return merge([{name: [Pick(*pick) for pick in picks] for name, picks in content.items()}])


_SLACK = 8  # times the limits that `merge` collects before dropping the rest
_MOST_GROUPS = sum(limit.groups for limit in LIMITS.values())
_MAX_NAME = 40  # characters in a group's name; the longest of ours are error kinds
_DIGITS = 6  # decimals of a rank, so that footers stay small


def _first(ranking: Ranking, keys: np.ndarray) -> Iterator[tuple[str, list[Pick]]]:
    """Yields the first rows of each group of ``ranking``."""
    rank = np.zeros(len(keys)) if ranking.rank is None else np.round(ranking.rank.astype(np.float64), _DIGITS)
    is_in = np.isfinite(rank)
    if ranking.names is None:
        members = {ranking.group: is_in}
    else:
        encoded = ranking.names.dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        names = {f"{ranking.group}/{name}": code for code, name in enumerate(encoded.dictionary.to_pylist())}
        members = {name: is_in & (codes == names[name]) for name in _chosen(names)}
    for name, mask in members.items():
        places = np.flatnonzero(mask)
        order = np.lexsort((places, keys[places], rank[places]))[: LIMITS[ranking.group].rows]
        if len(order):
            chosen = places[order]
            columns = (rank[chosen].tolist(), keys[chosen].tolist(), chosen.tolist())
            yield name, [Pick(*pick) for pick in zip(*columns, strict=True)]


def _chosen(names: Iterable[str]) -> list[str]:
    """Returns the names within their families' limits, however they are distributed over parts."""
    families: dict[str, list[str]] = {}
    for name in names:
        if len(name) <= _MAX_NAME:
            families.setdefault(_family(name), []).append(name)
    return [
        name for family, found in families.items() for name in nsmallest(LIMITS[family].groups, found, key=_priority)
    ]


def _priority(name: str) -> tuple[bool, int, str]:
    """Orders cells of wrong predictions before those of correct ones, and otherwise randomly."""
    _, *numbers = name.split("/")
    return len(numbers) == 2 and numbers[0] == numbers[1], zlib.crc32(name.encode()), name  # noqa: PLR2004


def _family(name: str) -> str:
    return name.partition("/")[0]


def _keys(ids: pa.ChunkedArray) -> np.ndarray:
    """Returns a hash of each image's id, int64 (n,) below 2**32, identical in all parts, runs and machines."""
    sums = np.fromiter((zlib.crc32(one.encode()) for one in ids.to_pylist()), np.uint32, len(ids))
    # Checksums of similar names are similar; MurmurHash3's finaliser, which is collision-free, spreads them.
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        sums = (sums ^ (sums >> np.uint32(shift))) * np.uint32(factor)
    return (sums ^ (sums >> np.uint32(16))).astype(np.int64)


def _errors(table: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(table[STAGE], table[ERROR], "/").combine_chunks()


def _is_picks(name: str, picks: Any, num_rows: int) -> bool:
    limit = LIMITS.get(_family(name))
    return (
        limit is not None
        and len(name) <= _MAX_NAME
        and isinstance(picks, list)
        and 0 < len(picks) <= limit.rows
        and all(_is_pick(pick, num_rows) for pick in picks)
    )


def _is_pick(pick: Any, num_rows: int) -> bool:
    # Not isinstance: JSON's true is an int in Python.
    if not isinstance(pick, list) or [type(value) for value in pick] not in _PICK_TYPES:
        return False
    rank, key, place = pick
    return math.isfinite(rank) and 0 <= key < 1 << 32 and 0 <= place < num_rows


_PICK_TYPES = ([float, int, int], [int, int, int])
