"""Draws random images of a published run, with their rows. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from actors.columns import IMAGE_ID, URI
from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs.numbered_rows import rows_at
from jobs.runs.source_images import source_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from actors.outputs import PublishedRun
    from actors.reading.image_bytes import Image
    from actors.storage.store import Storage


@dataclass(frozen=True)
class Sent:
    """An image of the run, as sent to the endpoint."""

    row: Mapping[str, Any]
    """Its published row without target and kept columns, or its error row, as plain values."""
    image: Image
    """Its bytes, or the reason why they cannot be reread."""


def draw(run: PublishedRun, count: int, image_storage: Storage | None = None) -> Iterator[Sent]:
    """Yields ``count`` images of a run, or all if it has fewer; every call draws the same ones.

    Raises:
        JobError: the run has no images, or its parts or inventory cannot be read.
    """
    num_rows = run.num_ok + run.num_error_rows
    if not num_rows:
        raise JobError(f"run={run.run_id}: has no image", fix="choose a run with rows: python -m jobs.runs lists them")
    numbers = np.random.default_rng(crc32(run.run_id.encode())).permutation(num_rows)[:count]
    try:
        rows = {row.identity: row.values for row in rows_at(run, numbers.tolist()).values()}
        source = source_images(run, image_storage)
        kept = {*source.shards.schema.names} - {IMAGE_ID, URI}
        for images in source.read([*rows], _BATCH_SIZE):
            for identity, image in images.items():
                yield Sent({name: value for name, value in rows[identity].items() if name not in kept}, image)
    except (OSError, ValueError) as error:
        raise JobError(
            f"{redacted(run.paths.run)}: cannot be read: {one_line(error)}",
            fix=f"python -m jobs.verify output.path=… run.id={run.run_id} names all that is wrong",
        ) from error


_BATCH_SIZE = 32
