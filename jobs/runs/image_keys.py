"""Keys of images in DuckDB, which goes to disk: which of those listed are new, and which ids stand twice. Runs on the
driver.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Self

import duckdb
import numpy as np
import pyarrow as pa

from actors.columns import IMAGE_ID, URI, VERSION
from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK_ROWS = 1 << 17  # taken in at a time; DuckDB writes about as many at once


class KeyDatabase:
    """A database of its own in ``folder``, which holds ``memory_bytes`` and goes to disk with the rest. ``tables`` is
    the SQL that makes its tables.

    DuckDB works on a thread of ours: a signal that comes while the main thread is inside of DuckDB loses its
    exception, and the query would end as a failure of its own.
    """

    def __init__(self, folder: str, memory_bytes: int, tables: str) -> None:
        threads = max(1, min(os.cpu_count() or 1, _MAX_THREADS, memory_bytes // _THREAD_BYTES))
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_bytes}B",
            "threads": threads,
            "preserve_insertion_order": False,  # numbers say the order; keeping it costs memory
            "enable_external_access": False,  # it spills beside its file, and touches nothing else
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        self._thread = ThreadPoolExecutor(1)
        with temporary_room():
            self._database = duckdb.connect(Path(folder, "keys.duckdb"), config=settings)
        self._run(self._database.execute, tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        self._database.close()

    def _insert(self, name: str, rows: pa.Table, columns: str) -> None:
        # A table that is registered instead would be held until the commit, even if it is unregistered.
        self._run(lambda: self._database.from_arrow(rows).project(columns).insert_into(name))

    def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        with temporary_room():
            try:
                return self._thread.submit(call, *arguments).result()
            except BaseException:
                self._database.interrupt()
                raise


class ImageKeys(KeyDatabase):
    """What is done, and what is listed."""

    def __init__(self, folder: str, memory_bytes: int) -> None:
        super().__init__(folder, memory_bytes, _TABLES)

    def add(self, name: str, images: Iterable[pa.Table | pa.RecordBatch]) -> None:
        """Takes in URI and VERSION of images that are ``done`` or ``listed``; the latter get numbers from 0."""
        self._run(self._database.begin)  # once for all of them: each commit waits for the disk
        for chunk in _chunks(images):
            self._insert(name, chunk, _COLUMNS[name])
        self._run(self._database.commit)

    def new_numbers(self) -> Iterator[np.ndarray]:
        """Ascending numbers of what is listed and not done, some at a time."""
        reader = self._run(lambda: self._database.sql(_NEW).to_arrow_reader(CHUNK_ROWS))
        while (batch := self._run(next, reader, None)) is not None:
            yield batch["number"].to_numpy()


class ImageIds(KeyDatabase):
    """The ids of listed images, which get numbers from 0."""

    def __init__(self, folder: str, memory_bytes: int) -> None:
        super().__init__(folder, memory_bytes, _IDS_TABLE)
        self.num_rows = 0
        self._held: list[pa.ChunkedArray] = []
        self._run(self._database.begin)

    def add(self, ids: pa.ChunkedArray) -> None:
        """Takes in those of the next images."""
        self._held.append(ids)
        if sum(map(len, self._held)) >= CHUNK_ROWS:
            self._insert_held()

    def repeated(self, num_examples: int) -> tuple[int, list[int]]:
        """How many images have the id of an earlier one, and the numbers of the first with such an id."""
        self._insert_held()
        found = self._run(lambda: self._database.execute(_REPEATED, [num_examples]).fetchall())
        return int(found[0][1]) if found else 0, [number for number, _ in found]

    def _insert_held(self) -> None:
        ids = pa.chunked_array([chunk for column in self._held for chunk in column.chunks], pa.string())
        numbers = np.arange(self.num_rows, self.num_rows + len(ids))
        self._held, self.num_rows = [], self.num_rows + len(ids)
        self._insert("ids", pa.table({IMAGE_ID: ids, "number": numbers}), _ID_COLUMNS)


@contextmanager
def temporary_room() -> Iterator[None]:
    """Turns what is raised where the temporary folder is full into a JobError."""
    try:
        yield
    except (duckdb.OperationalError, OSError) as error:
        raise JobError(
            f"{gettempdir()}: cannot compare the dataset with earlier runs there: {one_line(error)}",
            cure="set TMPDIR to a folder on a larger disk, or take every image with run.mode=full",
        ) from error


_MAX_THREADS = 4
_THREAD_BYTES = 128 << 20  # what DuckDB wants of memory for a thread

# The length in front makes the key unambiguous, whatever is in a URI, and "=" tells an empty version from none.
# 128 bits: of 1e9 images two have the same key with a chance of 1e-21; of 64 bits it would be 3 in 100.
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


def _chunks(images: Iterable[pa.Table | pa.RecordBatch]) -> Iterator[pa.Table]:
    """What makes the keys, and the numbers of the rows, at least `CHUNK_ROWS` at a time."""
    first, held = 0, list[pa.Table]()
    for table in images:
        numbers = np.arange(first, first + len(table))
        held.append(pa.table({URI: table[URI], VERSION: table[VERSION], "number": numbers}))
        first += len(table)
        if sum(map(len, held)) >= CHUNK_ROWS:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
