"""All images of a published run in a DuckDB database on disk, which filters, sorts and pages them. Used on the driver,
by several threads at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from actors.columns import ERROR_FIELDS, IMAGE_ID, URI
from actors.errors import JobError
from actors.messages import redacted
from actors.outputs.key_database import KeyDatabase
from actors.outputs.row_batches import part_schema, read_batches
from actors.row_ranges import shards_and_rows
from actors.writing.receipts import Receipt
from jobs.browsing.columns import Column, shown_columns
from jobs.browsing.query import LISTED, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.outputs import PublishedRun
    from actors.row_ranges import Identity
    from jobs.browsing.query import Query
    from jobs.pages.picked_rows import Place


class FoundImage(NamedTuple):
    """A row of the table."""

    identity: Identity
    failure: str
    """Stage and kind of the error; empty for a predicted image."""
    message: str
    values: Sequence[Any]
    """The value of each column; for a failed image, None except for name and address."""


@dataclass(frozen=True)
class Page:
    """Images found by a query."""

    number: int
    """Total number of images found, on all pages."""
    images: Sequence[FoundImage]


@contextmanager
def image_table(run: PublishedRun, memory_bytes: int) -> Iterator[ImageTable]:
    """Context manager that yields the table of ``run``, stored in the temporary folder.

    Raises:
        JobError: a part is missing or damaged, or the temporary folder is full.
        OSError, obstore.exceptions.BaseError, ValueError: the footer of a part cannot be read.
    """
    schema = part_schema(run.rows[0], run.storage) if run.rows else pa.schema(ERROR_FIELDS[:2])
    columns = shown_columns(schema)
    with TemporaryDirectory(prefix="shardlens-") as folder, ImageTable(folder, memory_bytes, columns) as table:
        for part in run.rows:
            table.add_part(part, run, schema)
        for part in run.errors:
            table.add_part(part, run, pa.schema(ERROR_FIELDS), is_failed=True)
        table.end()
        yield table


class ImageTable(KeyDatabase):
    """The images of a run. Columns have our own names, such as ``c0``: no external name or value becomes SQL."""

    fix = "set TMPDIR to a folder on a larger disk"
    held = "the table of images"

    def __init__(self, folder: str, memory_bytes: int, columns: Sequence[Column]) -> None:
        declared = [f"c{number} {_sql_type(column.type)}" for number, column in enumerate(columns)]
        super().__init__(folder, memory_bytes, f"CREATE TABLE images ({', '.join([*_FIXED, *declared])})")
        self.columns = columns
        self._keys = {column.name: f"c{number}" for number, column in enumerate(columns)}
        self._parts: list[str] = []
        self.label = next((name for name in ("label", "best label") if name in self._keys), None)
        """Name of the column for the filter ``label``."""
        self.score = next((name for name in ("score", "best score") if name in self._keys), None)
        self.labels: Sequence[tuple[str, int]] = ()
        """Labels with their number of images, most frequent first; at most `MAX_CHOICES`."""
        self.failures: Sequence[tuple[str, int]] = ()
        """Stages and kinds of errors with their number of images."""
        self.num_images = 0

    def add_part(self, part: str, run: PublishedRun, schema: pa.Schema, *, is_failed: bool = False) -> None:
        """Adds the rows of a part of ``run``."""
        with run.storage.open(part) as file:
            receipt = Receipt.from_footer(pq.read_metadata(file).metadata)
        if receipt is None:
            raise JobError(f"{redacted(part)}: has no receipt", fix="browse a run of this version of shardlens")
        shards, rows = shards_and_rows(receipt.ranges)
        self._parts.append(part)
        start = 0
        for batch in read_batches([part], run.storage, schema):
            stop = start + len(batch)
            fixed = {
                "shard": pa.array(shards[start:stop], pa.int32()),
                "row": pa.array(rows[start:stop], pa.int32()),
                "part": pa.repeat(pa.scalar(len(self._parts) - 1, pa.int32()), len(batch)),
                "place": pa.array(range(start, stop), pa.int32()),
            }
            self._insert("images", pa.table(fixed | self._values(batch, is_failed=is_failed)), "*")
            start = stop

    def end(self) -> None:
        """Counts the filter choices, after all parts are added."""
        self.num_images = self._run(self._all, "SELECT count(*) FROM images")[0][0]
        self.failures = self._run(self._all, _counted("failure"))
        self.labels = self._run(self._all, _counted(self._keys[self.label])) if self.label else ()

    def page(self, query: Query) -> Page:
        """Finds the images of one page."""
        condition, values = self._condition(query)
        (number,) = self._all(f"SELECT count(*) FROM images WHERE {condition}", values)[0]  # noqa: S608  see the class
        # Finds row positions first, so that sorting carries no other column.
        chosen = f"SELECT rowid FROM images WHERE {condition} {self._order(query)} LIMIT ? OFFSET ?"  # noqa: S608
        bounds = [query.size, (query.page - 1) * query.size]
        found = self._all(
            f"SELECT * EXCLUDE (part, place) FROM images WHERE rowid IN ({chosen}) {self._order(query)}",  # noqa: S608
            [*values, *bounds],
        )
        return Page(number, [_found(row) for row in found])

    def image(self, identity: Identity) -> tuple[FoundImage, Place] | None:
        """Returns an image with its part, and its position there; None if the run has no such image."""
        found = self._all('SELECT * FROM images WHERE shard = ? AND "row" = ?', list(identity))
        if not found:
            return None
        shard, row, part, place, *others = found[0]
        return _found((shard, row, *others)), (self._parts[part], place)

    def _condition(self, query: Query) -> tuple[str, list[Any]]:
        score, label = self._keys.get(self.score or ""), self._keys.get(self.label or "")
        scores = (query.score_min, query.score_max)
        if (query.label and not label) or (scores != (None, None) and not score):
            raise QueryError("this run has no labels or scores")
        tests = [
            (f"contains(lower({self._keys[IMAGE_ID]}), lower(?))", query.text or None),
            (f"{label} = ?", query.label or None),
            # Rounded like the column: 0.9 of float32 is less than 0.9.
            (f"{score} >= CAST(? AS FLOAT)", query.score_min),
            (f"{score} <= CAST(? AS FLOAT)", query.score_max),
            ("failure = ?", query.error or None),
            ("(failure IS NOT NULL) = ?", query.outcome == "failed" if query.outcome else None),
        ]
        held = [(test, value) for test, value in tests if value is not None]
        return " AND ".join(["true", *(f"({test})" for test, _ in held)]), [value for _, value in held]

    def _order(self, query: Query) -> str:
        way = "DESC" if query.order == "down" else "ASC"
        if query.sort == LISTED:
            return f'ORDER BY shard {way}, "row" {way}'
        return f'ORDER BY {self._keys[query.sort]} {way} NULLS LAST, shard, "row"'

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._database.cursor() as cursor:  # a separate connection for this thread
            return cursor.execute(statement, list(values)).fetchall()

    def _values(self, batch: pa.Table, *, is_failed: bool) -> dict[str, pa.Array]:
        if not is_failed:
            texts = pa.nulls(len(batch), pa.string())
            return {"failure": texts, "message": texts} | {
                key: column.values(batch) for key, column in zip(self._keys.values(), self.columns, strict=True)
            }
        stages, kinds, messages = (batch[name].to_pylist() for name in ("stage", "error", "message"))
        known = {
            key: column.values(batch) if column.source in (IMAGE_ID, URI) else pa.nulls(len(batch), column.type)
            for key, column in zip(self._keys.values(), self.columns, strict=True)
        }
        return {
            "failure": pa.array([f"{stage}/{kind}" for stage, kind in zip(stages, kinds, strict=True)]),
            "message": pa.array([message[:_MAX_MESSAGE] for message in messages]),
        } | known


MAX_CHOICES = 1000
_MAX_MESSAGE = 1000
_FIXED = ("shard INTEGER", '"row" INTEGER', "part INTEGER", "place INTEGER", "failure VARCHAR", "message VARCHAR")


def _counted(key: str) -> str:
    return (
        f"SELECT {key}, count(*) AS number FROM images WHERE {key} IS NOT NULL "  # noqa: S608  a name of our own
        f"GROUP BY {key} ORDER BY number DESC, {key} LIMIT {MAX_CHOICES}"
    )


def _found(row: Sequence[Any]) -> FoundImage:
    shard, number, failure, message, *values = row
    return FoundImage((shard, number), failure or "", message or "", values)


def _sql_type(kind: pa.DataType) -> str:
    names = {pa.bool_(): "BOOLEAN", pa.float32(): "FLOAT", pa.float64(): "DOUBLE", pa.uint64(): "UBIGINT"}
    return "VARCHAR" if pa.types.is_string(kind) else names.get(kind, "BIGINT")
