"""Single rows of a published run, by number."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from actors.outputs.row_batches import part_schema, picked, read_batches, reading
from actors.row_ranges import shards_and_rows
from actors.writing.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from actors.outputs.published_run import PublishedRun
    from actors.row_ranges import Identity
    from actors.storage.store import Storage


class FoundRow(NamedTuple):
    """A row or error row."""

    identity: Identity
    values: dict[str, Any]


def rows_at(run: PublishedRun, numbers: Iterable[int]) -> dict[int, FoundRow]:
    """Returns rows and error rows by number, as plain values. Numbers start at 0, rows before error rows. Reads only
    the parts that contain them.

    Raises:
        JobError: a part is damaged or missing.
    """
    wanted = np.array(sorted({*numbers}), np.int64)
    parts = [
        (uri, int(entry["num_rows"]))
        for uris, entries in ((run.rows, run.manifest["rows"]), (run.errors, run.manifest["errors"]))
        if uris  # the manifest also names error rows that another run has taken over
        for uri, entry in zip(uris, entries, strict=True)
    ]
    found: dict[int, FoundRow] = {}
    for (part, size), end in zip(parts, accumulate(size for _, size in parts), strict=True):
        inside = wanted[(wanted >= end - size) & (wanted < end)]
        if len(inside):
            places = inside - (end - size)
            found |= dict(zip(inside.tolist(), _rows(part, places, run.storage), strict=True))
    return found


def _rows(part: str, places: np.ndarray, storage: Storage) -> Iterator[FoundRow]:
    with reading(part), storage.open(part) as file:
        receipt = Receipt.from_footer(pq.read_metadata(file).metadata)
        if receipt is None:
            raise ValueError("it has no receipt")
    shards, rows = shards_and_rows(receipt.ranges)
    batches = read_batches([part], storage, part_schema(part, storage))
    values = (row for table in picked(batches, iter([places])) for row in table.to_pylist())
    for place, row in zip(places.tolist(), values, strict=True):
        yield FoundRow((int(shards[place]), int(rows[place])), row)
