"""Synthetic images that show whether a model can work, before the first real image. Run where a predictor is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.errors import JobError
from actors.models.forms import form_of
from actors.predicting.output_checks import check_consistent
from actors.tasks.base import PROBE_SIZE, Outputs
from actors.tasks.context import BatchContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.engines.base import Engine
    from actors.models.spec import Model
    from actors.tasks.base import Task


def probe(
    engine: Engine, noisy: Mapping[str, np.ndarray], model: Model, task: Task, labels: Sequence[str] | None
) -> Outputs:
    """Determines the outputs of ``engine`` from blank images, and checks them with ``noisy``, the outputs for `noise`.

    Raises:
        JobError: model, labels and task do not fit together, outputs vary in shape, or no answer is finite.
    """
    blank = engine(np.zeros((PROBE_SIZE, *model.preprocess.size, 3), np.uint8))
    outputs = Outputs.of(blank, engine.uncounted, model.preprocess.size)
    task.fields(outputs, labels)
    wanted = outputs.select(task.output_names(outputs))
    answers = [check_consistent(tensors, wanted) for tensors in (blank, noisy)]
    both = {name: np.concatenate([answer[name] for answer in answers]) for name in wanted.shapes}
    num_images = 2 * PROBE_SIZE
    _check_finite(both, model, task, BatchContext.of_inputs(labels, model.preprocess, num_images))
    task.check(both)
    return outputs


def noise(size: tuple[int, int]) -> np.ndarray:
    """Creates images uint8 (2, height, width, 3), the same each time: a dim image, and one over all values."""
    random = np.random.default_rng(0)  # the same in every worker, so that all judge the model alike
    return np.stack([random.integers(0, 256 >> shift, (*size, 3), np.uint8) for shift in (2, 0)])


def _check_finite(tensors: Mapping[str, np.ndarray], model: Model, task: Task, context: BatchContext) -> None:
    """Raises `JobError` if no image has a valid answer, or an output holds only NaN."""
    _, valid = task.columns(tensors, context)
    floating = [name for name, values in tensors.items() if values.dtype.kind == "f"]
    lost = [name for name in floating if not valid.any() or np.isnan(tensors[name]).all()]
    if lost:
        raise JobError(
            f"{model.where}: the model's output {lost[0]} is not finite for any trial image{_blame(model)}",
            fix="use a checkpoint from before the training diverged, or an engine.precision with a larger range",
        )


def _blame(model: Model) -> str:
    """Names the weights that contain NaN, for a message."""
    network = form_of(model).network(model)
    weights = {} if network is None else network.state_dict()
    odd = [name for name, value in weights.items() if hasattr(value, "isnan") and value.isnan().any()]
    return f": {len(odd)} of {len(weights)} tensors hold NaN, first {odd[0]}" if odd else ""
