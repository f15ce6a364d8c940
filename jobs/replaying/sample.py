"""Images of a published run with their rows, drawn at random. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pyarrow.parquet as pq

from actors.columns import IMAGE_ID, URI
from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs.row_batches import part_schema, picked, read_batches
from actors.writing.receipts import Receipt
from jobs.runs.source_images import source_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.outputs import PublishedRun
    from actors.reading.image_bytes import Image
    from actors.storage.store import Storage
    from jobs.runs.source_images import Identity


@dataclass(frozen=True)
class Sent:
    """An image of the run, as the endpoint gets it."""

    row: Mapping[str, Any]
    """Its published row without target and kept columns, or its error row, as plain values."""
    image: Image
    """Its bytes, or the reason why they cannot be had again."""


def draw(run: PublishedRun, count: int, image_storage: Storage | None = None) -> Iterator[Sent]:
    """Yields ``count`` images of a run, or all if it has fewer: the same ones on every call.

    Raises:
        JobError: the run has no image, or its parts or its inventory cannot be read.
    """
    num_rows = run.num_ok + run.num_error_rows
    if not num_rows:
        raise JobError(f"run={run.run_id}: has no image", cure="choose a run with rows: python -m jobs.runs lists them")
    numbers = np.random.default_rng(crc32(run.run_id.encode())).permutation(num_rows)[:count]
    try:
        rows = _rows(run, np.sort(numbers))
        source = source_images(run, image_storage)
        kept = {*source.shards.schema.names} - {IMAGE_ID, URI}
        for images in source.read([*rows], _BATCH_SIZE):
            for identity, image in images.items():
                yield Sent({name: value for name, value in rows[identity].items() if name not in kept}, image)
    except (OSError, ValueError) as error:
        raise JobError(
            f"{redacted(run.paths.run)}: cannot be read: {one_line(error)}",
            cure=f"python -m jobs.verify output.path=… run.id={run.run_id} names all that is wrong",
        ) from error


_BATCH_SIZE = 32


def _rows(run: PublishedRun, numbers: np.ndarray) -> dict[Identity, Mapping[str, Any]]:
    """Rows and error rows by their place in the inventory. They are numbered from 0, all rows first."""
    parts = [
        (uri, int(entry["num_rows"]))
        for folder, uris in (("rows", run.rows), ("errors", run.errors))
        for uri, entry in zip(uris, run.manifest[folder], strict=False)
    ]
    found: dict[Identity, Mapping[str, Any]] = {}
    for (uri, size), end in zip(parts, accumulate(size for _, size in parts), strict=True):
        inside = numbers[(numbers >= end - size) & (numbers < end)] - (end - size)
        if len(inside):
            batches = read_batches([uri], run.storage, part_schema(uri, run.storage))
            rows = [row for table in picked(batches, iter([inside])) for row in table.to_pylist()]
            found |= dict(zip(_identities(uri, inside, run.storage), rows, strict=True))
    return found


def _identities(uri: str, places: np.ndarray, storage: Storage) -> Sequence[Identity]:
    """Shard and row of the rows at ``places`` of a part, which is sorted by both."""
    with storage.open(uri) as file:
        receipt = Receipt.from_footer(pq.read_metadata(file).metadata)
    if receipt is None:
        raise ValueError(f"{redacted(uri)} has no receipt")
    runs = [(shard, start, stop) for shard, ranges in sorted(receipt.ranges.items()) for start, stop in ranges]
    ends = np.cumsum([stop - start for _, start, stop in runs])
    return [
        (runs[index][0], runs[index][2] - int(ends[index] - place))
        for index, place in zip(np.searchsorted(ends, places, side="right"), places.tolist(), strict=True)
    ]
