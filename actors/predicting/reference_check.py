"""Answers of an engine that a Python caller names, held against those of the reference on the first images. Jobs
compare engines on the driver, before the first image of a run (`jobs.planning.engine_selection`).
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

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from actors.engines.configs import EngineConfig
    from actors.models.spec import Model
    from actors.tasks.base import Task

LOG = logging.getLogger("shardlens")
NUM_HELD = 16


class ReferenceCheck:
    """Compares an engine with the reference once, on up to `NUM_HELD` of the first images that it gets.

    Nothing is compared where the engine is the reference, or with ``engine.gate=off``, which a line in the log tells.
    """

    def __init__(self, config: EngineConfig, model: Model, task: Task) -> None:
        self._config, self._model, self._task = config, model, task
        self._is_due = not is_reference(config, model) and config.gate is not Gate.off
        if config.gate is Gate.off and not is_reference(config, model):
            LOG.warning("engine.gate=off: %s is not compared with the reference", config.label)

    def __call__(self, engine: Engine, pixels_nhwc: np.ndarray) -> None:
        """Compares on uint8 (n, height, width, 3); waits for the next call where there is no image.

        Raises:
            JobError: the answers leave ``engine.tolerance``, and ``engine.gate`` is stop.
        """
        if not self._is_due or not len(pixels_nhwc):
            return
        right = reference(self._config, self._model)
        pixels_nhwc = np.ascontiguousarray(pixels_nhwc[:NUM_HELD])
        wanted, given = load_engine(right, self._model)(pixels_nhwc), engine(pixels_nhwc)
        breaches = self._task.agreement(wanted, given, to_tolerance(self._config.tolerance)).breaches
        seen = f"{self._config.label}: not the answers of {right.label}, on {len(pixels_nhwc)} images: "
        if breaches and self._config.gate is Gate.stop:
            raise JobError(f"{seen}{breaches[0]}", cure=_CURE)
        if breaches:
            LOG.warning("%s%s; engine.gate=warn: going on", seen, breaches[0])
        self._is_due = False


_CURE = "choose another engine or precision; or widen its tolerance; or give it gate=Gate.warn to go on"
