"""Tries an engine on images of the dataset: its outputs and its speed. Runs on a worker, before the first image of the
run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

import numpy as np

from actors.device_errors import DeviceMemoryError
from actors.engines.base import load_engine
from actors.predicting.adaptive_batches import ElasticBatches, joined
from actors.predicting.independence import independent
from actors.trials.comparison import Answers, Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.engines.base import Engine
    from actors.recipe import Recipe


def try_engine(
    recipe: Recipe,
    pixels_nhwc: np.ndarray,
    *,
    batch_size: int,
    loaded: Engine | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Trial, Answers]:
    """Runs the engine of ``recipe`` over ``pixels_nhwc`` in batches of one size, like a run.

    Args:
        recipe: the model and its engine; the task is not used.
        pixels_nhwc: uint8 (n, height, width, 3), n at least 1.
        batch_size: images per batch.
        loaded: the engine, if already loaded and warmed up.
        clock: clock for the rate, in seconds.

    Raises:
        JobError: the engine cannot run the model here.
        Exception: any other failure of the engine.
    """
    engine = ElasticBatches(loaded or _load(recipe), batch_size)
    rows = np.arange(len(pixels_nhwc))
    begun = clock()
    parts = [engine(pixels_nhwc, rows[:batch_size])]  # may compile, or allocate
    first_s = clock() - begun
    begun, ends_at = clock(), time.perf_counter() + 2 * _TIMED_S
    parts.append(engine(pixels_nhwc, rows[batch_size:]))
    num_timed = _padded(len(rows) - batch_size, batch_size)
    # A second batch would take as long and add little; once an engine has predicted, its first batch compiles nothing.
    if not num_timed and first_s > (_LONGEST_BATCH_S if loaded is None else _TIMED_S):
        begun, num_timed = begun - first_s, batch_size
    while not num_timed or (clock() - begun < _TIMED_S and time.perf_counter() < ends_at):
        engine(pixels_nhwc, rows[:batch_size])
        num_timed += batch_size
    images_per_s = num_timed / (clock() - begun)
    failed = [row for _, errors in parts for row in errors]
    answers = Answers(joined([outputs for outputs, _ in parts]), np.setdiff1d(rows, failed, assume_unique=True))
    return Trial(recipe.engine.label, images_per_s), answers


def _load(recipe: Recipe) -> Engine:
    engine = load_engine(recipe.engine, recipe.model, None, recipe.int8_graph)
    return independent(engine, recipe.one_by_one or "")


def _padded(num_images: int, batch_size: int) -> int:
    """Returns the number of images, including the blank ones that fill the last batch."""
    return -(-max(0, num_images) // batch_size) * batch_size


@dataclass(frozen=True)
class Rates:
    """Speed of an engine by batch size, and its memory."""

    images_per_s: dict[int, float]
    """Rate of one worker from pixels in memory to outputs in memory, by batch size."""
    worker_bytes: int
    """Peak memory of its process in bytes."""


def measure_rates(recipe: Recipe, pixels_nhwc: np.ndarray, batch_sizes: Sequence[int]) -> Rates:
    """Loads the engine of ``recipe`` and runs it at each of the ``batch_sizes``, for about a second each.

    Omits sizes that exceed the device's memory, and sizes at which a batch takes seconds, which gain nothing.

    Raises:
        Exception: any engine failure.
    """
    engine = _load(recipe)
    images_per_s: dict[int, float] = {}
    for batch_size in sorted(batch_sizes):
        if images_per_s and batch_size / max(images_per_s.values()) > _LONGEST_BATCH_S:
            break
        batch = pixels_nhwc[np.arange(batch_size) % len(pixels_nhwc)]
        try:
            images_per_s[batch_size] = _rate(engine, batch)
        except DeviceMemoryError:
            engine.release()
    return Rates(images_per_s, getrusage(RUSAGE_SELF).ru_maxrss * _RUSAGE_UNIT)


def _rate(engine: Engine, batch_nhwc: np.ndarray) -> float:
    engine(batch_nhwc)  # the first batch may compile or allocate
    num_batches, begun = 0, time.perf_counter()
    while not num_batches or time.perf_counter() - begun < _TIMED_S:
        engine(batch_nhwc)
        num_batches += 1
    return num_batches * len(batch_nhwc) / (time.perf_counter() - begun)


_TIMED_S = 0.5  # per measurement; single batches vary by about a tenth
_LONGEST_BATCH_S = 2.5
_RUSAGE_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes per unit of ru_maxrss
