"""Selects each image's newest rows across several runs, with a query in an on-disk database.

Memory stays bounded for any number of rows: 28 bytes per row are written to the temporary folder.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.columns import IMAGE_ID, URI
from actors.outputs.key_database import CHUNK_ROWS, KeyDatabase
from actors.outputs.row_batches import ahead, picked, read_batches, run_batches

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from actors.outputs.published_run import PublishedRun
    from actors.storage.store import Storage


class Newest:
    """The newest rows of each image. An image's key is its image_id and uri.

    A run with rows for an image supersedes older runs for it; an image listed twice in one run keeps both rows. A later
    run in which the image failed supersedes nothing.
    """

    def __init__(self, keys: RowKeys | None, runs: Sequence[PublishedRun], storage: Storage) -> None:
        self._keys, self._runs, self._storage = keys, runs, storage
        self.num_failed = keys.num_failed() if keys else sum(run.num_error_rows for run in runs)
        """Images that failed and have no row in any run."""
        self.num_read = keys.num_rows if keys else 0
        """Rows of all runs, once all batches have been read."""

    def batches(self, schema: pa.Schema) -> Generator[pa.Table]:
        """Yields the rows, newest run first, in tables of ``schema``, which may include the partitions."""
        rows = (table for run in self._runs for table in run_batches(run, run.rows, self._storage, schema))
        for batch in ahead(picked(rows, self._keys.newest()) if self._keys else rows):
            self.num_read += 0 if self._keys else len(batch)
            yield batch


@contextmanager
def newest_rows(runs: Sequence[PublishedRun], storage: Storage, *, memory_bytes: int = 1 << 30) -> Iterator[Newest]:
    """Yields the newest rows of ``runs``, which are ordered newest first. A single run is not compared with itself.

    Raises:
        JobError: a part cannot be read, or the temporary folder is full.
    """
    with ExitStack() as stack:
        keys = None
        if len(runs) > 1:
            folder = stack.enter_context(TemporaryDirectory(prefix="shardlens-"))
            keys = stack.enter_context(RowKeys(folder, memory_bytes))
            for number, run in enumerate(runs):
                keys.add_rows(number, read_batches(run.rows, storage, _KEY_COLUMNS))
                keys.add_failed(read_batches(run.errors, storage, _KEY_COLUMNS))
        yield Newest(keys, runs, storage)


class RowKeys(KeyDatabase):
    """Keys of failed images and of rows, which are numbered from 0 in the order they are added."""

    fix = "set TMPDIR to a folder on a larger disk, or read one run; jobs.convert does with convert.run=RUN_ID"

    def __init__(self, folder: str, memory_bytes: int) -> None:
        super().__init__(folder, memory_bytes, _TABLES)
        self.num_rows = 0

    def add_rows(self, run: int, batches: Iterable[pa.Table]) -> None:
        """Adds the rows of a run; a lower ``run`` is newer."""
        for batch in _joined(batches):
            numbers = pa.array(np.arange(self.num_rows, self.num_rows + len(batch)))
            self.num_rows += len(batch)
            self._insert("rows", batch.append_column("number", numbers), f"{_KEY}, {run}, number")

    def add_failed(self, batches: Iterable[pa.Table]) -> None:
        for batch in _joined(batches):
            self._insert("failed", batch, _KEY)

    def newest(self) -> Iterator[np.ndarray]:
        """Yields the ascending numbers of the newest rows, in int64 arrays."""
        reader = self._run(lambda: self._database.sql(_NEWEST).to_arrow_reader(CHUNK_ROWS))
        while (batch := self._run(next, reader, None)) is not None:
            yield batch["number"].to_numpy()

    def num_failed(self) -> int:
        """Returns the number of images that failed and have no row."""
        (found,) = self._run(lambda: self._database.execute(_FAILED).fetchall())
        return int(found[0])


_KEY_COLUMNS = pa.schema([pa.field(IMAGE_ID, pa.string()), pa.field(URI, pa.string())])
# The leading length makes the key unambiguous.
_KEY = f"md5_number(concat(strlen({IMAGE_ID}), ':', {IMAGE_ID}, {URI}))"
_TABLES = 'CREATE TABLE "rows" (key UHUGEINT, run INTEGER, number BIGINT); CREATE TABLE failed (key UHUGEINT)'
_NEWEST = """
    SELECT number FROM "rows" SEMI JOIN (SELECT key, min(run) AS run FROM "rows" GROUP BY key) USING (key, run)
    ORDER BY number
"""
_FAILED = 'SELECT count(DISTINCT key) FROM failed ANTI JOIN "rows" USING (key)'


def _joined(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yields the same rows in tables of at least `CHUNK_ROWS`, except the last."""
    pending: list[pa.Table] = []
    for batch in batches:
        pending.append(batch)
        if sum(map(len, pending)) >= CHUNK_ROWS:
            yield pa.concat_tables(pending)
            pending = []
    if pending:
        yield pa.concat_tables(pending)
