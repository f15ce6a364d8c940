"""Keys of images in a DuckDB database on disk: finds the listed images that are new, and duplicate ids. Runs on the
driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import IMAGE_ID, URI, VERSION
from actors.outputs.key_database import CHUNK_ROWS, KeyDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class ImageKeys(KeyDatabase):
    """Keys of the images processed by earlier runs and of those listed now."""

    def __init__(self, folder: str, memory_bytes: int) -> None:
        super().__init__(folder, memory_bytes, _TABLES)

    def add(self, name: str, images: Iterable[pa.Table | pa.RecordBatch]) -> None:
        """Inserts URI and VERSION of ``images`` into table ``name``, ``done`` or ``listed`` (numbered from 0)."""
        self._run(self._database.begin)  # one transaction for all, as each commit waits for the disk
        for chunk in _chunks(images):
            self._insert(name, chunk, _COLUMNS[name])
        self._run(self._database.commit)

    def new_numbers(self) -> Iterator[np.ndarray]:
        """Yields the ascending numbers of listed images that are not done, as int64 arrays."""
        reader = self._run(lambda: self._database.sql(_NEW).to_arrow_reader(CHUNK_ROWS))
        while (batch := self._run(next, reader, None)) is not None:
            yield batch["number"].to_numpy()


class ImageIds(KeyDatabase):
    """Ids of listed images, numbered from 0. Up to `CHUNK_ROWS` ids without duplicates stay in memory."""

    def __init__(self, folder: str, memory_bytes: int) -> None:
        super().__init__(folder, memory_bytes, _IDS_TABLE)
        self.num_rows = 0
        self._pending: list[pa.ChunkedArray] = []

    def add(self, ids: pa.ChunkedArray) -> None:
        """Adds the ids of the next images."""
        self._pending.append(ids)
        if sum(map(len, self._pending)) >= CHUNK_ROWS:
            self._insert_pending()

    def repeated(self, num_examples: int) -> tuple[int, list[int]]:
        """Returns the number of images with the id of an earlier image, and the numbers of the first such images."""
        if not self._is_open and _are_distinct(self._pending_ids()):
            return 0, []
        self._insert_pending()
        found = self._run(lambda: self._database.execute(_REPEATED, [num_examples]).fetchall())
        return int(found[0][1]) if found else 0, [number for number, _ in found]

    def _insert_pending(self) -> None:
        if not self._is_open:
            self._run(self._database.begin)  # one transaction for all
        ids = self._pending_ids()
        numbers = np.arange(self.num_rows, self.num_rows + len(ids))
        self._pending, self.num_rows = [], self.num_rows + len(ids)
        self._insert("ids", pa.table({IMAGE_ID: ids, "number": numbers}), _ID_COLUMNS)

    def _pending_ids(self) -> pa.ChunkedArray:
        return pa.chunked_array([chunk for column in self._pending for chunk in column.chunks], pa.string())


# The leading length makes the key unambiguous for any URI, and "=" distinguishes an empty version from null. 128 bits:
# the chance that two of 1e9 images share a key is 1e-21, compared with 3 in 100 for 64 bits.
_KEY = f"md5_number(concat(strlen({URI}), ':', {URI}, '=' || {VERSION}))"
_COLUMNS = {"done": _KEY, "listed": f"{_KEY}, number"}
_TABLES = "CREATE TABLE done (key UHUGEINT); CREATE TABLE listed (key UHUGEINT, number BIGINT)"
_IDS_TABLE = "CREATE TABLE ids (key UHUGEINT, number BIGINT)"
_ID_COLUMNS = f"md5_number({IMAGE_ID}), number"
_REPEATED = """
    WITH twice AS (SELECT min(number) AS first, count(*) - 1 AS more FROM ids GROUP BY key HAVING more > 0)
    SELECT first, (SELECT sum(more) FROM twice) FROM twice ORDER BY first LIMIT ?
"""
_NEW = "SELECT number FROM listed ANTI JOIN done USING (key) ORDER BY number"


def _are_distinct(ids: pa.ChunkedArray) -> bool:
    return bool(pc.count_distinct(ids, mode="all").as_py() == len(ids))


def _chunks(images: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yields the key columns with row numbers, in tables of at least `CHUNK_ROWS` rows except the last."""
    first, pending = 0, list[pa.Table]()
    for table in images:
        numbers = np.arange(first, first + len(table))
        pending.append(pa.table({URI: table[URI], VERSION: table[VERSION], "number": numbers}))
        first += len(table)
        if sum(map(len, pending)) >= CHUNK_ROWS:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)
