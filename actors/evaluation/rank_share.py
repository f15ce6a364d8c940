"""Predicts and counts one process's share of the images, and computes scores from all shares. Runs in the training
process.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.columns import MESSAGE
from actors.decoding.pixel_blocks import decode_batch, error_columns
from actors.engines.base import default_threads
from actors.errors import ImageError, JobError
from actors.evaluation.examples import ahead, read_batch
from actors.evaluation.inferencer import CountingInferencer
from actors.storage.store import Storage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    import pyarrow as pa

    from actors.decoding.config import Decode
    from actors.evaluation.examples import Example
    from actors.evaluation.inferencer import Inferencer
    from actors.pixel_arrays import Pixels
    from actors.predictor import Predictor
    from actors.preprocess import Preprocess

LOG = logging.getLogger("shardlens")


@dataclass
class RankShare:
    """One process's counts by inferencer, and whatever else the overall scores need. Can be pickled."""

    counts: list[Mapping[str, int]] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    """Predicted rows, if a measure keeps whole predictions and there are several processes."""
    num_images: int = 0
    errors: list[str] = field(default_factory=list)
    """Error messages of the images without a prediction."""
    failure: str | None = None
    """The error that ended the process's part."""

    def measure(
        self,
        predictor: Predictor,
        numbered: Iterator[tuple[int, Example]],
        inferencers: Sequence[Inferencer],
        num_ranks: int,
    ) -> None:
        """Predicts the images and updates the ``inferencers`` that count or that see all images here."""
        is_local = [num_ranks == 1 or isinstance(one, CountingInferencer) for one in inferencers]
        with closing(_predicted(predictor, numbered)) as batches:
            for rows in batches:
                self.num_images += len(rows)
                self.errors += rows[MESSAGE].drop_null().to_pylist()
                for inferencer in (one for one, here in zip(inferencers, is_local, strict=True) if here):
                    inferencer.update(rows)
                if not all(is_local):
                    self.tables.append(rows)
        self.counts = [inferencer.counts() for inferencer in inferencers]


def scores_of(shares: Sequence[RankShare], inferencers: Sequence[Inferencer]) -> dict[str, float]:
    """Computes scores from the shares of all processes: sums of integers, or all rows if a measure needs them.

    Raises:
        JobError: a process failed, or no image has a prediction.
    """
    if failures := [share.failure for share in shares if share.failure]:
        raise JobError(f"data: cannot be evaluated: {failures[0]}", fix="see the log of the rank that failed")
    _check_answers(sum(share.num_images for share in shares), [error for share in shares for error in share.errors])
    scores: dict[str, float] = {}
    for place, inferencer in enumerate(inferencers):
        if isinstance(inferencer, CountingInferencer):
            total: Counter[str] = Counter()
            for share in shares:
                total.update(share.counts[place])
            scores |= inferencer.compute(total)
            continue
        if len(shares) > 1:
            _keep_local(inferencer)
            for table in (table for share in shares for table in share.tables):
                inferencer.update(table)
        scores |= inferencer.compute(inferencer.counts())
    return scores


def _check_answers(num_images: int, errors: Sequence[str]) -> None:
    if len(errors) == num_images:
        seen = f"none of {num_images} images has an answer: {errors[0]}" if errors else "there are no images"
        raise JobError(f"data: {seen}", fix="give images that this process can read and decode")
    if errors:
        LOG.warning("%d of %d images have no answer and are left out: %s", len(errors), num_images, errors[0])


def _keep_local(inferencer: Inferencer) -> None:
    """Stops torchmetrics from summing over processes again: each has all rows."""
    metric: Any = getattr(inferencer, "metric", None)
    if hasattr(metric, "sync_on_compute"):
        metric.sync_on_compute = False


def _predicted(predictor: Predictor, numbered: Iterator[tuple[int, Example]]) -> Generator[pa.Table]:
    """Yields the rows of `Predictor.predict_block` in batches, while threads read and decode the next ones."""
    limits, preprocess = predictor.limits, predictor.model.preprocess
    size = predictor.batch_size or 1
    groups = iter(lambda: list(islice(numbered, size)), [])
    read = partial(read_batch, storage=Storage(predictor.model.storage_options), max_bytes=limits.max_bytes)
    threads = default_threads()
    if predictor.task.tiling:
        for rows, images in ahead(read, groups, threads):
            errors = error_columns([image if isinstance(image, ImageError) else None for image in images])
            yield predictor.predict_pictures(_with(rows, errors), images)
        return
    decode = partial(_decoded, read=read, limits=limits, preprocess=preprocess)
    for rows, pixels_nhwc in ahead(decode, groups, threads):
        yield predictor.predict_block(rows, pixels_nhwc)


def _decoded(
    group: Sequence[tuple[int, Example]], read: Any, limits: Decode, preprocess: Preprocess
) -> tuple[pa.Table, Pixels]:
    rows, images = read(group)
    pixels_nhwc, columns = decode_batch(images, limits, preprocess)
    return _with(rows, columns), pixels_nhwc


def _with(rows: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    for name, column in columns.items():
        rows = rows.append_column(name, column)
    return rows
