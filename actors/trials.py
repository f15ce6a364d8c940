"""An engine tried on images of the dataset: what it answers, and how fast. Runs on a worker, before the first image of
the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import PIXELS, STAGE, unpack_pixels
from actors.elastic import ElasticBatches
from actors.engines.base import load_engine
from actors.fetch import Fetcher
from actors.pixels import pixel_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actors.agreement import Agreement
    from actors.engines.configs import EngineConfig
    from actors.models import Model
    from actors.reader import ReadPlan
    from actors.receipts import Piece

    Outputs = Mapping[str, np.ndarray]
    Agree = Callable[[Outputs, Outputs], Agreement]


@dataclass(frozen=True)
class Answers:
    """What an engine says of a sample."""

    outputs: Outputs
    """Every output for each image of `rows`."""
    rows: np.ndarray
    """The images that it has answers for, by their places in the sample, ascending."""


@dataclass(frozen=True)
class Trial:
    """One engine, for the report."""

    engine: str
    """Its `EngineConfig.label`."""
    images_per_s: float = 0.0
    """Of one worker, in full batches, pixels in memory to outputs in memory."""
    load_s: float = 0.0
    """Seconds until it was ready."""
    figures: dict[str, float] = field(default_factory=dict)
    """How far its answers are from those of the reference; see `actors.agreement.Agreement`."""
    breaches: list[str] = field(default_factory=list)
    """Why it may not be taken; empty where it may."""

    def __str__(self) -> str:
        figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.figures.items()]
        refused = [f"refused: {self.breaches[0]}"] if self.breaches else []
        return ", ".join([f"{self.engine} {self.images_per_s:,.1f} images/s", *figures, *refused])


def sample_pixels(plan: ReadPlan, pieces: Sequence[Piece]) -> np.ndarray:
    """Pixels of the images at ``pieces`` that can be decoded, shuffled: uint8 (n, height, width, 3); n may be 0."""
    found = [np.zeros((0, *plan.preprocess.size, 3), np.uint8)]
    fetcher = Fetcher(plan.shards, plan.storage, max_bytes=plan.limits.max_bytes)
    for piece in pieces:
        table = plan.shards.load(piece.shard)
        rows = pa.concat_tables(table.slice(start, stop - start) for start, stop in piece.ranges)
        for _, images in fetcher.batches(rows, plan.batch_size):
            columns = pixel_columns(images, plan.limits, plan.preprocess)
            whole = columns[PIXELS].filter(pc.is_null(columns[STAGE]))
            found.append(unpack_pixels(pa.chunked_array([whole]), *plan.preprocess.size))
    return np.random.default_rng(0).permutation(np.concatenate(found))


def try_engine(
    config: EngineConfig, model: Model, pixels_nhwc: np.ndarray, *, batch_size: int, max_s: float | None = None
) -> tuple[Trial, Answers]:
    """Loads the engine of ``config`` and runs it over ``pixels_nhwc`` as a run would: in batches of one size.

    Args:
        config: the engine.
        model: what it is to run.
        pixels_nhwc: uint8 (n, height, width, 3), n from 1.
        batch_size: images of a batch.
        max_s: the images that would take longer are left out, down to `_FEWEST`.

    Raises:
        JobError: it cannot run the model here.
        Exception: whatever else stops it.
    """
    started = time.perf_counter()
    engine = ElasticBatches(load_engine(config, model), batch_size)
    rows = np.arange(len(pixels_nhwc))
    engine(pixels_nhwc, rows[:batch_size])  # the first batch may compile, or allocate
    loaded = time.perf_counter()
    if max_s is not None:
        engine(pixels_nhwc, rows[:batch_size])
        rows = rows[: max(_FEWEST, int(max_s / (time.perf_counter() - loaded)) * batch_size)]
    num_timed, begun = 0, time.perf_counter()
    while not num_timed or time.perf_counter() - begun < _TIMED_S:
        outputs, errors = engine(pixels_nhwc, rows)
        num_timed += -(-len(rows) // batch_size) * batch_size
    images_per_s = num_timed / (time.perf_counter() - begun)
    answers = Answers(outputs, np.setdiff1d(rows, list(errors), assume_unique=True))
    return Trial(config.label, images_per_s, loaded - started), answers


def hold_against(right: Answers, trial: Trial, answers: Answers, agree: Agree) -> Trial:
    """``trial`` with what ``agree`` finds of its ``answers`` for the images of ``right``."""
    places = np.flatnonzero(np.isin(answers.rows, right.rows, assume_unique=True))
    num_missing = len(right.rows) - len(places)
    if num_missing:
        return replace(trial, breaches=[f"fails on {num_missing} images that the reference can do"])
    outputs = {name: values[places] for name, values in answers.outputs.items()}
    agreement = agree(right.outputs, outputs)
    return replace(trial, figures=agreement.figures, breaches=agreement.breaches)


_TIMED_S = 1.0
_FEWEST = 64
