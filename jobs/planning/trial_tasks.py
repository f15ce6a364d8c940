"""Code of the trial tasks. Runs on a worker; `rated` also on the driver."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.engines.hardware import hardware
from actors.trials.engine_trial import measure_rates, try_engine
from actors.trials.sampling import take_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from actors.engines.base import Engine
    from actors.models.spec import Model
    from actors.reading.reader import ReadPlan
    from actors.recipe import Recipe
    from actors.row_ranges import Piece
    from actors.trials.comparison import Answers, Trial
    from actors.trials.engine_trial import Rates
    from actors.trials.sampling import Costs, Sample


def sampled(read: ReadPlan, pieces: list[Piece]) -> tuple[tuple[int, Costs | None], Sample]:
    """Returns the number of images and their costs, and the sample itself."""
    sample = take_sample(read, pieces)
    return (len(sample.uris), sample.costs), sample


def quantise(model: Model, sample: Sample) -> bytes:
    """Returns the network of ``model`` in int8, quantised on the sample."""
    from actors.exporting.quantisation import quantised  # noqa: PLC0415  brings onnxruntime

    return quantised(model, sample.pixels_nhwc, is_narrow=hardware(with_gpu=False).saturates_int8)


def tried(
    recipe: Recipe, sample: Sample, num_images: int, batch_size: int, clock: Callable[[], float]
) -> tuple[tuple[Trial, list[str]], Answers]:
    """Returns a trial of the recipe's engine with the URIs of its images, and its answers."""
    trial, answers = rated(recipe, sample.pixels_nhwc[:num_images], batch_size, clock)
    return (trial, sample.uris[:num_images]), answers


def rated(
    recipe: Recipe,
    pixels_nhwc: np.ndarray,
    batch_size: int,
    clock: Callable[[], float],
    loaded: Engine | None = None,
) -> tuple[Trial, Answers]:
    """Runs `try_engine`, and returns the rate of a worker. On CPUs, it is derived from CPU time, which is independent
    of other processes and of the number of threads here: the driver's reference has one.
    """
    trial, answers = try_engine(recipe, pixels_nhwc, batch_size=batch_size, clock=clock, loaded=loaded)
    threads = (recipe.engine.threads or 1) if clock is time.process_time else 1
    return replace(trial, images_per_s=trial.images_per_s * threads), answers


def challenged(
    running: Recipe, images_per_s: float, recipe: Recipe, sample: Sample, num_images: int, batch_size: int
) -> tuple[tuple[Trial, list[str]], Answers]:
    """Does the same as `tried`, beside the engine of ``running``, whose rate is ``images_per_s`` on an idle machine."""
    # CPU time, because wall time depends on the changing load of the node.
    (trial, uris), answers = tried(recipe, sample, num_images, batch_size, time.process_time)
    (current, _), _ = tried(running, sample, min(num_images, 2 * batch_size), batch_size, time.process_time)
    images_per_s *= trial.images_per_s / current.images_per_s
    return (replace(trial, images_per_s=images_per_s), uris), answers


def measured(recipe: Recipe, sample: Sample, batch_sizes: list[int]) -> Rates:
    """Returns the rates of the recipe's engine on the sample, by batch size."""
    return measure_rates(recipe, sample.pixels_nhwc, batch_sizes)
