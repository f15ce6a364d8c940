"""Joins the outcomes of two runs by image in a database on disk. Runs on the driver.

Memory stays bounded for any number of rows; the columns needed of each row go to the temporary folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from actors.columns import IMAGE_ID, URI
from actors.outputs.key_database import KeyDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jobs.comparison.answers import Answers

SIDES = ("a", "b")


class Counts(NamedTuple):
    """Numbers of images by the run that has them."""

    num_both: int
    num_only_a: int
    num_only_b: int
    num_by_id_alone: int
    """Part of `num_both`: images with equal ids and different URIs, as with two copies of a dataset."""
    num_ambiguous: int
    """Part of `num_only_a`: images whose id is shared by several images of a run, with other URIs, so that none
    matches."""


class Outcomes(KeyDatabase):
    """Rows and error rows of runs ``a`` and ``b``, in the tables of these names, numbered from 0 in insertion order;
    then ``matches``, the row numbers of one image, and ``pairs``, the measured answers.

    An image that a run lists several times is matched with as many rows of the other run, in order.
    """

    fix = "set TMPDIR to a folder on a larger disk"

    def __init__(self, folder: str, memory_bytes: int, answers: Answers) -> None:
        super().__init__(folder, memory_bytes, "CREATE TABLE matches (a BIGINT, b BIGINT)")
        self.answers = answers
        self.num_rows = dict.fromkeys(SIDES, 0)
        nothing = pa.table({name: pa.array([], pa.string()) for name in (IMAGE_ID, URI)})
        for side in SIDES:
            self._create(side, self._outcomes(side, self._without_answers(nothing), nothing), self._columns)

    def add_rows(self, side: str, batches: Iterable[pa.Table]) -> None:
        """Adds rows with the columns of the answers."""
        self._add(side, batches, self.answers.keep)

    def add_errors(self, side: str, batches: Iterable[pa.Table]) -> None:
        """Adds error rows, after all rows."""
        self._add(side, batches, self._without_answers)

    def match(self) -> Counts:
        """Matches the images of both runs, measures the answers of images with one in both, and counts them."""
        self.execute(_MATCH)
        ((num_equal,),) = self.query("SELECT count(*) FROM matches")
        if min(self.num_rows.values()) > num_equal:
            self.execute(_MATCH_BY_ID)
        (counts,) = self.query(_COUNTS)
        self._measure()
        num_both = int(counts[0])
        only_a, only_b = (self.num_rows[side] - num_both for side in SIDES)
        return Counts(num_both, only_a, only_b, num_both - num_equal, int(counts[1]))

    def execute(self, *statements: str) -> None:
        """Runs SQL statements."""
        for statement in statements:
            self._run(self._database.execute, statement)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Returns all rows of a query, which must limit them itself."""
        found: list[tuple[Any, ...]] = self._run(lambda: self._database.execute(sql).fetchall())
        return found

    def _add(self, side: str, batches: Iterable[pa.Table], keep: Callable[[pa.Table], pa.Table]) -> None:
        self._run(self._database.begin)  # one transaction for all, as each commit waits for the disk
        for batch in batches:
            self._insert(side, self._outcomes(side, keep(batch), batch), self._columns)
            self.num_rows[side] += len(batch)
        self._run(self._database.commit)

    def _outcomes(self, side: str, kept: pa.Table, batch: pa.Table) -> pa.Table:
        first, names = self.num_rows[side], batch.column_names
        reasons = {
            name: batch[name] if name in names else pa.nulls(len(batch), pa.string()) for name in ("stage", "error")
        }
        keys = {IMAGE_ID: batch[IMAGE_ID], URI: batch[URI], "number": np.arange(first, first + len(batch))}
        return pa.table({**keys, **reasons, **dict(zip(kept.column_names, kept.columns, strict=True))})

    def _without_answers(self, batch: pa.Table) -> pa.Table:
        kept = self.answers.kept
        return pa.Table.from_arrays([pa.nulls(len(batch), field.type) for field in kept], schema=kept)

    @property
    def _columns(self) -> str:
        # 128 bits distinguish ids; among rows with one id, 64 bits distinguish URIs.
        return ", ".join([_KEYS, *self.answers.kept.names])

    def _measure(self) -> None:
        kept = self.answers.kept
        both = [pa.field(f"{side}_{field.name}", field.type) for side in SIDES for field in kept]
        numbers = [pa.field(side, pa.int64()) for side in SIDES]
        self._create("pairs", self._measured(pa.schema([*numbers, *both]).empty_table()))
        columns = [f"{side}.{name} AS {side}_{name}" for side in SIDES for name in kept.names]
        self._run(self._database.begin)
        for batch in self._stream(_ANSWERED.format(columns=", ".join(["a.number AS a, b.number AS b", *columns]))):
            self._insert("pairs", self._measured(batch), "*")
        self._run(self._database.commit)

    def _measured(self, batch: pa.Table) -> pa.Table:
        measured = self.answers.measure(batch)
        return pa.table(
            {**{side: batch[side] for side in SIDES}, **dict(zip(measured.column_names, measured.columns, strict=True))}
        )

    def _stream(self, sql: str) -> Iterator[pa.Table]:
        # Uses a separate connection: another statement would end this one's result.
        cursor = self._database.cursor()
        try:
            reader = self._run(lambda: cursor.sql(sql).to_arrow_reader(self.answers.batch_rows))
            while (batch := self._run(next, reader, None)) is not None:
                yield pa.Table.from_batches([batch])
        finally:
            cursor.close()

    def _create(self, name: str, empty: pa.Table, columns: str = "*") -> None:
        self._run(lambda: self._database.from_arrow(empty).project(columns).create(name))


_KEYS = "md5_number(image_id) AS id, hash(uri) AS place, number, stage, error"
# Numbered only if an image occurs several times: sorting all rows would take longer than the rest.
_PLACED = """(
    SELECT id, place, number, 1 AS copy FROM {side} ANTI JOIN repeated USING (id, place) UNION ALL
    SELECT id, place, number, row_number() OVER (PARTITION BY id, place ORDER BY number)
    FROM {side} SEMI JOIN repeated USING (id, place)
)"""
_MATCH = f"""
    CREATE TEMP TABLE repeated AS
    SELECT id, place FROM a GROUP BY ALL HAVING count(*) > 1 UNION
    SELECT id, place FROM b GROUP BY ALL HAVING count(*) > 1;
    INSERT INTO matches SELECT a.number, b.number
    FROM {_PLACED.format(side="a")} a JOIN {_PLACED.format(side="b")} b USING (id, place, copy)
"""
UNMATCHED = "(SELECT * FROM {side} ANTI JOIN matches ON {side}.number = matches.{side})"
_LONE = f"(SELECT id, min(number) AS number FROM {UNMATCHED} GROUP BY id HAVING count(*) = 1)"
_MATCH_BY_ID = f"""
    INSERT INTO matches SELECT a.number, b.number
    FROM {_LONE.format(side="a")} a JOIN {_LONE.format(side="b")} b USING (id)
"""
_COUNTS = f"""
    SELECT (SELECT count(*) FROM matches),
    (SELECT count(*) FROM {UNMATCHED.format(side="a")} SEMI JOIN {UNMATCHED.format(side="b")} USING (id))
"""
_ANSWERED = """
    SELECT {columns} FROM matches JOIN a ON a.number = matches.a JOIN b ON b.number = matches.b
    WHERE a.error IS NULL AND b.error IS NULL
"""
