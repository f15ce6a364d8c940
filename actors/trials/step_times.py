"""Times pre-processing, inference and post-processing of a batch separately and sequentially, like the benchmarks of
training frameworks. Runs in the process of `jobs.benchmark`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.columns import HEIGHT, PIXELS, STAGE, WIDTH, unpack_pixels
from actors.decoding.pixel_blocks import pixel_columns
from actors.predictor import Predictor
from actors.tasks.context import BatchContext

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.recipe import Recipe


@dataclass(frozen=True)
class StepTimes:
    """Mean milliseconds per image, in one process with nothing else running."""

    batch_size: int
    preprocess_ms: float
    """Decoding, resize and crop, on one thread."""
    inference_ms: float
    """The normalisation and the network, from pixels in memory to outputs in memory, on all engine threads."""
    postprocess_ms: float
    """The task's columns, from the outputs."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def time_steps(recipe: Recipe, images: Sequence[bytes], batch_size: int, *, timed_s: float = 1.0) -> StepTimes | None:
    """Times the steps of ``recipe`` on full batches of ``images``, each step for ``timed_s`` seconds after a warm-up.

    Omits images that cannot be decoded; returns None if none is left.

    Raises:
        JobError: the model does not run here.
    """
    predictor = Predictor(recipe)
    model, limits = recipe.model, recipe.limits
    right = [image for image in images if pixel_columns([image], limits, model.preprocess)[STAGE].null_count]
    if not right:
        return None
    batch = [right[place % len(right)] for place in range(batch_size)]
    columns = pixel_columns(batch, limits, model.preprocess)
    pixels_nhwc = unpack_pixels(pa.chunked_array([columns[PIXELS]]), *model.preprocess.size)
    names = predictor.task.output_names(predictor.outputs)
    outputs = {name: values for name, values in predictor.engine(pixels_nhwc).items() if name in names}
    sizes_hw = np.stack([columns[HEIGHT].to_numpy(), columns[WIDTH].to_numpy()], axis=1)
    context = BatchContext(predictor.labels, model.preprocess, sizes_hw)
    steps: list[Callable[[], object]] = [
        lambda: pixel_columns(batch, limits, model.preprocess),
        lambda: predictor.engine(pixels_nhwc),
        lambda: predictor.task.columns(outputs, context),
    ]
    return StepTimes(batch_size, *(1000 * _mean_s(step, timed_s) / batch_size for step in steps))


def _mean_s(step: Callable[[], object], timed_s: float) -> float:
    for _ in range(_NUM_WARM_UP):
        step()
    num_calls, begun = 0, time.perf_counter()
    while not num_calls or time.perf_counter() - begun < timed_s:
        step()
        num_calls += 1
    return (time.perf_counter() - begun) / num_calls


_NUM_WARM_UP = 2  # calls; the first may compile or allocate
