"""Everything that a predictor is built from, in workers, trials, benchmarks and Python callers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from actors.decoding.config import Decode, DecodeDevice
from actors.engines.configs import EngineConfig, default_engine
from actors.engines.tolerance import to_tolerance
from actors.errors import JobError
from actors.tasks.classify import Classify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from actors.models.spec import Model
    from actors.tasks.base import Task
    from actors.tasks.parity import Agreement

    Outputs = Mapping[str, np.ndarray]
    Agree = Callable[[Outputs, Outputs], Agreement]


@dataclass(frozen=True, init=False)
class Recipe:
    """A model, the engine that runs it, the task, and the limits of decoding. Can be pickled; holds nothing loaded.

    Args:
        model: architecture, weights, pre-processing and labels.
        engine: by default PyTorch in fp32, or for a whole model the first engine that reads its file, such as
            onnxruntime.
        task: by default the five best classes.
        limits: decide which images are refused before decoding, and how the others are decoded.
        int8_graph: the result of `actors.exporting.quantisation.quantised`, which engine.precision=int8 needs for a
            network.
        one_by_one: the result of `actors.predicting.independence.mixing`, or None if not yet known.

    Raises:
        JobError: no engine is given, and the form of the model is unknown.
    """

    model: Model
    engine: EngineConfig
    task: Task
    limits: Decode
    int8_graph: bytes | None = field(repr=False)
    one_by_one: str | None

    def __init__(
        self,
        model: Model,
        engine: EngineConfig | None = None,
        task: Task | None = None,
        limits: Decode | None = None,
        int8_graph: bytes | None = None,
        one_by_one: str | None = None,
    ) -> None:
        fields = {
            "model": model,
            "engine": engine or default_engine(model),
            "task": task or Classify(),
            "limits": limits or Decode(),
            "int8_graph": int8_graph,
            "one_by_one": one_by_one,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)  # like the generated __init__ of a frozen dataclass

    def check(self) -> None:
        """Raises `JobError` if the parts do not fit together, as far as known before anything is built or loaded."""
        self.limits.check()
        self.model.check()
        self.engine.check(self.model)
        if self.task.tiling and self.limits.device is DecodeDevice.gpu:
            raise JobError(
                "decode.device=gpu with task.tile.size: pictures that are cut into tiles are decoded by the CPU",
                fix="leave decode.device at auto, or task.tile.size at null",
            )

    @property
    def agree(self) -> Agree:
        """The comparison of other outputs with the reference's, by the task's measure and ``engine.tolerance``."""
        return partial(self.task.agreement, tolerance=to_tolerance(self.engine.tolerance))
