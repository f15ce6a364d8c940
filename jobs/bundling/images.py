"""Draws real images from the dataset of an export, encoded and decoded. Runs on the driver, without Ray."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import PIXELS, STAGE, URI, unpack_pixels
from actors.decoding.pixel_blocks import pixel_columns
from actors.errors import JobError
from actors.messages import redacted
from actors.reading.fetcher import Fetcher
from actors.storage.store import Storage
from actors.trials.sampling import spread
from jobs.runs.inventory import write_inventory

if TYPE_CHECKING:
    from jobs.job import Job


@dataclass(frozen=True)
class RealImages:
    """Images that can be decoded, in random order."""

    encoded: list[bytes]
    names: list[str]
    """URIs without users and passwords."""
    pixels_nhwc: np.ndarray
    """uint8 (n, height, width, 3)."""

    def first(self, count: int) -> RealImages:
        """Returns at most ``count`` of them."""
        return RealImages(self.encoded[:count], self.names[:count], self.pixels_nhwc[:count])


def draw_images(job: Job, count: int) -> RealImages:
    """Draws up to ``count`` images, spread evenly over the first `_NUM_LISTED` listed by the dataset.

    Raises:
        JobError: the dataset cannot be listed, or none of these images can be read and decoded.
    """
    limit = _NUM_LISTED if job.dataset.limit is None else min(job.dataset.limit, _NUM_LISTED)
    dataset, preprocess = replace(job.dataset, limit=limit), job.model.preprocess
    encoded: list[bytes] = []
    names: list[str] = []
    pixels = [np.zeros((0, *preprocess.size, 3), np.uint8)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shards = write_inventory(
            dataset.entries(), storage=Storage(), folder=folder, shard_size="auto", layout=dataset.layout,
            image_column=getattr(dataset, "image_column", None),
        )  # fmt: skip
        fetcher = Fetcher(shards, dataset.image_storage, max_bytes=job.decode.max_bytes)
        for piece in spread(shards.sizes, count):
            for rows, images in fetcher.batches(shards.load_piece(piece), _BATCH_SIZE):
                columns = pixel_columns(images, job.decode, preprocess)
                is_whole = pc.is_null(columns[STAGE])
                pixels.append(unpack_pixels(pa.chunked_array([columns[PIXELS].filter(is_whole)]), *preprocess.size))
                pairs = zip(images, is_whole.to_pylist(), strict=True)
                encoded += [image for image, whole in pairs if whole and isinstance(image, bytes)]
                names += [redacted(uri) for uri in rows[URI].filter(is_whole).to_pylist()]
    if not names:
        raise JobError(
            f"dataset.path={redacted(str(job.dataset.path))}: none of the first {shards.num_rows:,} images can be "
            "decoded",
            fix="name images of the kind that the model is for",
        )
    # Neighbouring images in a dataset are similar.
    order = np.random.default_rng(0).permutation(len(names))[:count]
    return RealImages(
        [encoded[place] for place in order], [names[place] for place in order], np.concatenate(pixels)[order]
    )


_NUM_LISTED = 4096  # images: more would take minutes to list in an object store, with little benefit
_BATCH_SIZE = 32
