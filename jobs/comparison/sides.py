"""The two runs of a comparison, found by id or by place, and single rows of them. Runs on the driver."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.errors import JobError
from actors.messages import redacted
from actors.outputs import open_output
from actors.outputs.row_batches import part_schema, picked, read_batches
from actors.storage.uris import absolute
from actors.writing.receipts import Receipt
from jobs.pages.picked_rows import identities

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.outputs import PublishedRun
    from actors.storage.store import Storage
    from jobs.comparison.config import ComparedOutput
    from jobs.pages.picked_rows import Identity


def find_run(key: str, given: str, output: ComparedOutput) -> PublishedRun:
    """Returns the published run that ``a`` or ``b`` names.

    Args:
        key: ``a`` or ``b``.
        given: id of a run below ``output.path``, or path or URI of its folder.
        output: place of the runs.

    Raises:
        JobError: there is no such run, it is not published, or it cannot be read.
    """
    where = redacted(f"{key}={given}")
    if "/" not in given:
        if output.path is None:
            raise JobError(
                f"{where}: the id of a run, without output.path",
                cure="give the output.path of the job, or the folder of the run: OUTPUT/runs/RUN_ID",
            )
        return open_output(output.path, output.storage_options).run(given, key=key)
    found = _RUN_FOLDER.fullmatch(absolute(given))
    if found is None:
        raise JobError(f"{where}: not the folder of a run", cure="give OUTPUT/runs/RUN_ID, or an id with output.path")
    return open_output(found[1], output.storage_options).run(found[2], key=key)


def answer_schema(run: PublishedRun) -> pa.Schema:
    """Columns that the task of a run has written; none if it has no rows."""
    if not run.rows:
        return pa.schema([])
    dataset = run.config.get("dataset") or {}
    carried = {"image_id", "uri", "target", *(dataset.get("keep_columns") or ())}
    return pa.schema([field for field in part_schema(run.rows[0], run.storage) if field.name not in carried])


class FoundRow(NamedTuple):
    """A row or error row."""

    identity: Identity
    values: dict[str, Any]


def rows_at(run: PublishedRun, numbers: Iterable[int]) -> dict[int, FoundRow]:
    """Rows and error rows by number, as plain values. They are numbered from 0, all rows first. Only the parts that
    have one of them are read.
    """
    wanted = np.array(sorted({*numbers}), np.int64)
    parts = [*zip(run.rows, _sizes(run, "rows"), strict=True)]
    parts += zip(run.errors, _sizes(run, "errors") if run.errors else (), strict=True)
    found: dict[int, FoundRow] = {}
    for (part, size), end in zip(parts, accumulate(size for _, size in parts), strict=True):
        inside = wanted[(wanted >= end - size) & (wanted < end)]
        if len(inside):
            places = inside - (end - size)
            found |= dict(zip(inside.tolist(), _rows(part, places, run.storage), strict=True))
    return found


def _rows(part: str, places: np.ndarray, storage: Storage) -> Iterator[FoundRow]:
    with storage.open(part) as file:
        receipt = Receipt.from_footer(pq.read_metadata(file).metadata)
    shards, rows = identities(receipt.ranges) if receipt else (np.zeros(0, int), np.zeros(0, int))
    batches = read_batches([part], storage, part_schema(part, storage))
    values = (row for table in picked(batches, iter([places])) for row in table.to_pylist())
    for place, row in zip(places.tolist(), values, strict=True):
        yield FoundRow((int(shards[place]), int(rows[place])), row)


_RUN_FOLDER = re.compile(r"(.+)/runs/([^/]+)/?", re.DOTALL)


def _sizes(run: PublishedRun, folder: str) -> Sequence[int]:
    return [int(entry["num_rows"]) for entry in run.manifest[folder]]
