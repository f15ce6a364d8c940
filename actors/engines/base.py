"""The seam between models and what executes them. An engine is loaded once in each worker, and only its own
library with it.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from actors.device_errors import DeviceMemoryError, too_large
from actors.engines.configs import EngineConfig, OnnxEngineConfig, OpenVinoEngineConfig, TorchEngineConfig
from actors.errors import JobError

if TYPE_CHECKING:
    import numpy as np

    from actors.models.spec import Model


class Engine(Protocol):
    """A loaded model. Results do not depend on how images are batched, beyond rounding."""

    name: str
    device: str
    """``cpu`` or ``cuda``."""
    precision: str
    overlaps: bool
    """Whether `start` returns before the outputs are there, so that the next batch is better started meanwhile."""
    details: dict[str, str]
    """Versions and choices that a report should name."""
    uncounted: dict[str, tuple[int, ...]]
    """Outputs that do not hold one entry an image, such as a loss, and are left out: their shapes in the last call."""

    def __call__(self, pixels_nhwc: np.ndarray) -> dict[str, np.ndarray]:
        """Every output of the model by name, first axis n, what is floating as float32; the arrays are the caller's.

        Args:
            pixels_nhwc: uint8 of shape (n, height, width, 3), n from 1; may be read-only, and is not kept.

        Raises:
            DeviceMemoryError: so many images do not fit into the memory of the device.
            DeviceLostError: no call will succeed any more, in this process.
            Exception: what else the library or the user's own network raises.
        """

    def start(self, pixels_nhwc: np.ndarray) -> Pending:
        """Sets the images on their way: ``engine.start(pixels).result()`` is ``engine(pixels)``.

        Several may be on their way at a time, and are done in the order of their start. An exception may come of the
        start or of the result. What is no longer wanted may be dropped at any time.
        """

    def release(self) -> None:
        """Gives back memory of the device that is only kept in reserve, after the library ran short of it."""


class Pending(Protocol):
    """Images on their way through an engine."""

    def result(self) -> dict[str, np.ndarray]:
        """Their outputs, once they are there; see `Engine.__call__`. To be asked for once."""


@dataclass(frozen=True)
class Finished:
    """Images that are through already."""

    outputs: dict[str, np.ndarray]

    def result(self) -> dict[str, np.ndarray]:
        return self.outputs


class InTurn:
    """The part of an `Engine` that takes one batch after the other: what it starts, it finishes."""

    overlaps = False

    def start(self: Engine, pixels_nhwc: np.ndarray) -> Pending:
        return Finished(self(pixels_nhwc))


def load_engine(config: EngineConfig, model: Model) -> Engine:
    """The engine of ``config``, ready to run ``model``: it was tried on two blank images.

    Raises:
        JobError: model and engine do not fit, the model does not run or is too large, or a device or provider is
            missing.
        DeviceLostError: the device does not work.
    """
    config.check(model)
    if type(config) not in _ENGINES:
        raise JobError(
            f"engine={config.name}: is chosen by a job, on images of its dataset",
            cure="name one of the engines torch, onnxruntime and openvino",
        )
    module, name = _ENGINES[type(config)]
    engine = getattr(importlib.import_module(module), name)
    try:
        return cast("Engine", engine(config, model))
    except DeviceMemoryError as error:
        raise too_large(error) from error


def describe(engine: Engine) -> dict[str, str]:
    """What ran the model, for a report: name, device, precision and the details."""
    return {"engine": engine.name, "device": engine.device, "precision": engine.precision, **engine.details}


def default_threads() -> int:
    """CPU threads that this process was given: OMP_NUM_THREADS (Ray sets it), else its CPUs and their quota."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(given):
        return int(given)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _cpu_quota(Path("/sys/fs/cgroup/cpu.max"))))


_ENGINES = {
    TorchEngineConfig: ("actors.engines.torch_engine", "TorchEngine"),
    OnnxEngineConfig: ("actors.engines.onnx_engine", "OnnxEngine"),
    OpenVinoEngineConfig: ("actors.engines.openvino_engine", "OpenVinoEngine"),
}
_NO_QUOTA = 1 << 20


def _cpu_quota(path: Path) -> int:
    """CPUs that a container may use, rounded up; the file holds microseconds of CPU and of the period they are for."""
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return _NO_QUOTA
    return _NO_QUOTA if quota == "max" else -(-int(quota) // int(period))
