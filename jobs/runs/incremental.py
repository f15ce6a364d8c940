"""Removes images processed by earlier runs from a listing. Runs on the driver, before the inventory is written.

Everything that grows with the number of images is kept on disk.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from actors.columns import URI, VERSION
from actors.messages import one_line
from actors.outputs.key_database import temporary_room
from actors.outputs.row_batches import picked
from actors.reading.shards import SHARDS_PER_FILE, inventory_file
from actors.storage.damage import is_damage
from jobs.runs.image_keys import ImageKeys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.reading.shards import Shards


LOG = logging.getLogger("shardlens")


def only_new(
    entries: Iterator[pa.Table], done: Iterable[pa.RecordBatch], *, memory_bytes: int = 1 << 30
) -> Iterator[pa.Table]:
    """Yields the tables of ``entries`` without the images that are in ``done`` with the same version.

    Tables keep their order and boundaries; empty ones are omitted. The first table has no rows, so that the schema is
    known even if there are no new images. Two null versions are equal. A new image that is listed twice is yielded
    twice.

    All of ``entries`` are first written to a temporary folder (placed by `tempfile`), plus 16 bytes per image in
    ``done``. The folder is removed when the iterator ends, fails or is closed. If ``done`` is empty, ``entries`` are
    yielded unchanged.

    Args:
        entries: tables of one schema, with URI and VERSION, as from `Dataset.entries`.
        done: batches with URI and VERSION, as from `done_images`; an image may occur more than once.
        memory_bytes: memory limit of the comparison before it spills to disk; it needs a few hundred MB more.

    Raises:
        JobError: the temporary folder is full. Errors of ``entries`` and ``done`` pass through unchanged.
    """
    batches = (batch for batch in done if len(batch))
    # Without an earlier run, there is nothing to compare or spool.
    head = next(batches, None)
    if head is None:
        yield from entries
        return
    # Spooled rather than listed twice: files may come and go between two listings.
    with TemporaryDirectory(prefix="shardlens-") as folder, ImageKeys(folder, memory_bytes) as keys:
        keys.add("done", chain([head], batches))
        first = next(entries)
        spool = Path(folder, "entries.arrow")
        keys.add("listed", _spooled(chain([first], entries), first.schema, spool))
        yield first.schema.empty_table()
        yield from picked(_unspooled(spool), keys.new_numbers())


def done_images(inventories: Iterable[Shards]) -> Iterator[pa.RecordBatch]:
    """Yields URI and VERSION of every row of ``inventories``, read ahead in the background.

    Omits damaged row groups and logs a warning for each.
    """
    pieces = (piece for shards in inventories for piece in _pieces(shards))
    with ThreadPoolExecutor(_NUM_READERS) as pool:
        reading = deque(pool.submit(_read, *piece) for piece in islice(pieces, _NUM_READERS))
        while reading:
            table = reading.popleft().result()
            reading.extend(pool.submit(_read, *piece) for piece in islice(pieces, 1))
            yield from table.to_batches()


_NUM_READERS = 8  # threads, each with one piece in memory
_PIECE_ROWS = 1 << 17  # rows read at a time, as `image_keys.CHUNK_ROWS`


def _pieces(shards: Shards) -> Iterator[tuple[Shards, int, Sequence[int]]]:
    """Yields row groups to read together: the file number, and the group numbers within the file."""
    for first in range(0, shards.num_shards, SHARDS_PER_FILE):
        sizes = shards.sizes[first : first + SHARDS_PER_FILE]
        step = max(1, _PIECE_ROWS // max(1, int(sizes.max())))
        for start in range(0, len(sizes), step):
            yield shards, first // SHARDS_PER_FILE, range(start, min(start + step, len(sizes)))


def _read(shards: Shards, file_number: int, groups: Sequence[int]) -> pa.Table:
    uri = inventory_file(shards.folder, file_number)
    try:
        with shards.storage.open(uri) as source, pq.ParquetFile(source) as file:
            # The pool of `done_images` already reads in parallel.
            return file.read_row_groups(groups, columns=[URI, VERSION], use_threads=False)
    except Exception as error:
        if not is_damage(error):
            raise
        if len(groups) > 1:  # locate the damaged one and keep the others
            return pa.concat_tables(_read(shards, file_number, [group]) for group in groups)
        LOG.warning("%s, row group %s: damaged (%s); treating its images as new", uri, groups[0], one_line(error))
        return shards.schema.empty_table().select([URI, VERSION])


def _spooled(entries: Iterable[pa.Table], schema: pa.Schema, spool: Path) -> Iterator[pa.Table]:
    """Writes each table of ``entries`` to the file ``spool``, then yields it."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(spool), "wb") as sink:
        # Not a context manager: on a full disk, closing would fail again and hide the first error.
        writer = pa.ipc.new_stream(sink, schema, options=options)
        for table in entries:
            with temporary_room():
                writer.write_table(table.combine_chunks())  # one batch per table, to preserve boundaries
            yield table
        with temporary_room():
            writer.close()


def _unspooled(spool: Path) -> Iterator[pa.Table]:
    with pa.OSFile(str(spool), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])
