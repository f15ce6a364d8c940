"""Rows of a run for a page to show: chosen by the picks in the footers of its parts, then read. Runs on the driver."""

from __future__ import annotations

import logging
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.messages import one_line, redacted
from actors.row_ranges import Identity, shards_and_rows
from actors.writing.picks import from_footer, merge
from actors.writing.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from actors.storage.store import Storage

LOG = logging.getLogger("shardlens")
Read = TypeVar("Read")

Place = tuple[str, int]
"""URI of a part, and the position of a row in it, from 0."""
Rows = dict[Identity, dict[str, Any]]
"""Published rows as plain values."""


class Reference(NamedTuple):
    """A picked row, in the order of its group: independent of how rows are cut into parts."""

    rank: float
    key: int
    identity: Identity
    place: Place


@dataclass(frozen=True)
class Chosen:
    """Picked rows."""

    groups: Mapping[str, Sequence[Identity]]
    """By group, as footers name it: classes by number. Rows that cannot be read are listed, too."""
    rows: Rows
    """The most interesting ones first."""


def choose_rows(parts: Sequence[str], storage: Storage, limit: int, is_over: Callable[[], bool]) -> Chosen:
    """Chooses at most ``limit`` rows, and reads them. Parts that cannot be read are left out, with a warning.

    Args:
        parts: URIs of the parts with rows, and of those with errors.
        storage: holds the parts.
        limit: the most rows; one may be in several groups.
        is_over: true once the time is up; whatever is not read by then is left out.
    """

    def guarded(read: Callable[[], Read], uri: str) -> Read | None:
        try:
            return None if is_over() else read()
        except Exception as error:  # noqa: BLE001  a page without them is better than none
            LOG.warning("%s: its pictures are omitted: %s", redacted(uri), one_line(error))
            return None

    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda uri: guarded(lambda: _references(uri, storage), uri), parts)
        kept = within(merge(picks for picks in found if picks), limit)
        identities = {one.place: one.identity for _, one in kept}
        by_part = {uri: [place for _, place in some] for uri, some in groupby(sorted(identities), itemgetter(0))}
        read = pool.map(lambda uri: guarded(lambda: read_rows(uri, by_part[uri], storage), uri), by_part)
        rows = {
            identities[uri, place]: row
            for (uri, places), some in zip(by_part.items(), read, strict=True)
            if some is not None
            for place, row in zip(places, some, strict=True)
        }
    groups: dict[str, list[Identity]] = defaultdict(list)
    for name, one in kept:
        groups[name].append(one.identity)
    return Chosen(groups, {identity: rows[identity] for identity in identities.values() if identity in rows})


def within(groups: Mapping[str, Sequence[Reference]], limit: int) -> list[tuple[str, Reference]]:
    """References to at most ``limit`` rows, each with its group: the extremes, then a few of each class, and so on."""
    turns = [(_turn(name, number), number, name) for name, found in groups.items() for number in range(len(found))]
    kept: list[tuple[str, Reference]] = []
    places: set[Place] = set()
    for _, number, name in sorted(turns):
        reference = groups[name][number]
        if reference.place in places or len(places) < limit:
            places.add(reference.place)
            kept.append((name, reference))
    return kept


_THREADS = 16  # requests to storage at once
_BATCH_ROWS = 1024
_MAX_ROW_BYTES = 2048  # of a column on average: larger ones, such as embeddings, say nothing on a page
_DRAWN = {"mask", "detections", "classes"}  # needed whatever their size

# Errors and extremes come first. Of the families with many groups, the first few rows of each come in the second turn.
_FIRST_ROWS = {"class": 4, "cell": 1, "sample": 16}


def _turn(name: str, number: int) -> int:
    first = _FIRST_ROWS.get(name.partition("/")[0])
    return 0 if first is None else 1 if number < first else 2


def _references(uri: str, storage: Storage) -> dict[str, list[Reference]]:
    """The picks of a part; empty for one that an earlier version wrote."""
    with storage.open(uri) as file:
        footer = pq.read_metadata(file)
    receipt = Receipt.from_footer(footer.metadata)
    picks = from_footer(footer.metadata, num_rows=footer.num_rows)
    if receipt is None or not picks:
        return {}
    shards, rows = shards_and_rows(receipt.ranges)
    return {
        name: [Reference(rank, key, (int(shards[place]), int(rows[place])), (uri, place)) for rank, key, place in some]
        for name, some in picks.items()
    }  # fmt: skip


def read_rows(uri: str, places: Sequence[int], storage: Storage) -> list[dict[str, Any]]:
    """The rows of a part at ascending ``places``, without large columns. Holds a few of its rows at a time."""
    with storage.open(uri) as source, pq.ParquetFile(source) as file:
        columns = _small_columns(file)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        found: list[dict[str, Any]] = []
        for group, members in groupby(places, lambda place: int(np.searchsorted(ends, place, side="right"))):
            first = int(ends[group]) - sizes[group]
            found += _rows_of_group(file, group, columns, [place - first for place in members])
        return found


def _rows_of_group(
    file: pq.ParquetFile, group: int, columns: Sequence[str], positions: Sequence[int]
) -> Iterator[dict[str, Any]]:
    start, wanted = 0, np.asarray(positions)
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
        inside = wanted[(wanted >= start) & (wanted < start + len(batch))] - start
        if len(inside):
            yield from batch.take(pa.array(inside)).to_pylist()
        start += len(batch)
        if start > wanted[-1]:
            return


def _small_columns(file: pq.ParquetFile) -> list[str]:
    """Columns that a page can show, and those that are drawn."""
    sizes: dict[str, int] = defaultdict(int)
    for group in range(file.num_row_groups):
        chunks = file.metadata.row_group(group)
        for index in range(chunks.num_columns):
            chunk = chunks.column(index)
            sizes[chunk.path_in_schema.partition(".")[0]] += chunk.total_uncompressed_size
    names: list[str] = file.schema_arrow.names
    return [name for name in names if name in _DRAWN or sizes[name] <= _MAX_ROW_BYTES * file.metadata.num_rows]
