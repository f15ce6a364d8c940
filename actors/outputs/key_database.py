"""An on-disk DuckDB database of image keys, in bounded memory. Used on the driver to compare the images of runs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, Self

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

CHUNK_ROWS = 1 << 17  # rows inserted at a time: about one row group of DuckDB (122,880 rows)


class KeyDatabase:
    """DuckDB database in ``folder`` that uses at most ``memory_bytes`` of memory and spills the rest to disk.
    ``tables`` is the SQL that creates its tables.

    It is opened by its first use: that and the import of DuckDB take 0.2 s, which small runs save.

    Queries run on their own thread: an exception raised by a signal handler while the main thread is inside DuckDB is
    lost, and the query fails with another error.
    """

    fix = "set TMPDIR to a folder on a larger disk, or process every image with run.mode=full"
    """Remedy for a full temporary folder."""
    held = "the comparison with earlier runs"
    """Name of the content for error messages."""

    def __init__(self, folder: str, memory_bytes: int, tables: str) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._tables = tables
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        if self._is_open:
            self._database.close()

    @property
    def _is_open(self) -> bool:
        return "_database" in vars(self)

    @cached_property
    def _database(self) -> DuckDBPyConnection:
        import duckdb  # noqa: PLC0415  see above

        threads = max(1, min(os.cpu_count() or 1, _MAX_THREADS, self._memory_bytes // _THREAD_BYTES))
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{self._memory_bytes}B",
            "threads": threads,
            "preserve_insertion_order": False,  # rows are numbered, and keeping their order costs memory
            "enable_external_access": False,  # it spills next to its own file and needs nothing else
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with temporary_room(self.fix, self.held):
            database = duckdb.connect(Path(self._folder, "keys.duckdb"), config=settings)
            self._thread.submit(database.execute, self._tables).result()
        return database

    def _insert(self, name: str, rows: pa.Table, columns: str) -> None:
        # Not `register`: DuckDB keeps a registered table in memory until the commit, even once unregistered.
        self._run(lambda: self._database.from_arrow(rows).project(columns).insert_into(name))

    def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        database = self._database  # opened here, not by ``call``, whose thread creates the tables
        with temporary_room(self.fix, self.held):
            try:
                return self._thread.submit(call, *arguments).result()
            except BaseException:
                # If a signal ends this wait, the query continues, and leaving the `with` block would wait for it.
                database.interrupt()
                raise


@contextmanager
def temporary_room(fix: str = KeyDatabase.fix, held: str = KeyDatabase.held) -> Iterator[None]:
    """Converts the errors of a full temporary folder to JobError."""
    import duckdb  # noqa: PLC0415  see `KeyDatabase`

    try:
        yield
    except (duckdb.OperationalError, OSError) as error:
        raise JobError(
            f"{gettempdir()}: cannot hold {held}: {one_line(error)}",
            fix=fix,
        ) from error


_MAX_THREADS = 4  # the driver has other work to do
_THREAD_BYTES = 128 << 20  # memory per thread that DuckDB recommends as a minimum
