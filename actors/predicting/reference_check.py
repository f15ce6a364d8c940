"""Compares the engine chosen by a Python caller with the reference on the first images. Jobs compare engines on the
driver, before the first image of a run (`jobs.planning.engine_selection`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from actors.engines.base import load_engine
from actors.engines.candidates import is_reference, reference
from actors.engines.configs import Gate
from actors.engines.tolerance import to_tolerance
from actors.errors import JobError
from actors.predicting.independence import ONE_BY_ONE, independent

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model
    from actors.tasks.base import Task

LOG = logging.getLogger("shardlens")
NUM_COMPARED = 16


class ReferenceCheck:
    """Compares an engine with the reference once, on up to `NUM_COMPARED` of the first images.

    Skips the comparison if the engine is the reference, or, with a log message, if ``engine.gate=off``.
    """

    def __init__(self, config: EngineConfig, model: Model, task: Task) -> None:
        self._config, self._model, self._task = config, model, task
        self._is_due = not is_reference(config, model) and config.gate is not Gate.off
        if config.gate is Gate.off and not is_reference(config, model):
            LOG.warning("engine.gate=off: %s is not compared with the reference", config.label)

    def __call__(self, engine: Engine, pixels_nhwc: np.ndarray) -> None:
        """Compares answers for images uint8 (n, height, width, 3), or at the next call if n is 0.

        Raises:
            JobError: the answers exceed ``engine.tolerance``, and ``engine.gate`` is stop.
        """
        if not self._is_due or not len(pixels_nhwc):
            return
        right = reference(self._config, self._model)
        pixels_nhwc = np.ascontiguousarray(pixels_nhwc[:NUM_COMPARED])
        by_right = independent(load_engine(right, self._model), engine.details.get(ONE_BY_ONE, ""))
        wanted, given = by_right(pixels_nhwc), engine(pixels_nhwc)
        breaches = self._task.agreement(wanted, given, to_tolerance(self._config.tolerance)).breaches
        problem = f"{self._config.label}: differs from {right.label} on {len(pixels_nhwc)} images: "
        if breaches and self._config.gate is Gate.stop:
            raise JobError(f"{problem}{breaches[0]}", fix=_FIX)
        if breaches:
            LOG.warning("%s%s; continuing, since engine.gate=warn", problem, breaches[0])
        self._is_due = False


_FIX = "choose another engine or precision, widen its tolerance, or pass gate=Gate.warn to continue"
