"""The interface between models and the engines that execute them. Each worker loads one engine, and only the library
of that engine.
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
    from torch import nn

    from actors.models.spec import Model
    from actors.pixel_arrays import Pixels


class Engine(Protocol):
    """A loaded model. Results do not depend on how images are batched, beyond rounding."""

    name: str
    device: str
    """``cpu`` or ``cuda``."""
    precision: str
    overlaps: bool
    """True if `start` returns before the outputs are ready, so that starting the next batch early pays off."""
    details: dict[str, str]
    """Versions and choices for the report."""
    uncounted: dict[str, tuple[int, ...]]
    """Shapes, in the last call, of the outputs omitted because they lack one entry per image, such as a loss."""

    def __call__(self, pixels_nhwc: Pixels) -> dict[str, np.ndarray]:
        """Returns every output by name, with first axis n, floating-point outputs as float32; the caller owns the
        arrays.

        Args:
            pixels_nhwc: uint8 of shape (n, height, width, 3), n >= 1; may be read-only, or a tensor that a decoder left
                on the GPU; not retained.

        Raises:
            DeviceMemoryError: the batch does not fit into the memory of the device.
            DeviceLostError: no later call in this process can succeed.
            Exception: anything else that the library or the user's network raises.
        """

    def start(self, pixels_nhwc: Pixels) -> Pending:
        """Starts a batch: ``engine.start(pixels).result()`` equals ``engine(pixels)``.

        Several batches may be in flight; they finish in the order in which they were started. Either step may raise. A
        pending batch may be dropped at any time.
        """

    def release(self) -> None:
        """Frees cached device memory after the library has run out of memory."""


class Pending(Protocol):
    """A batch in flight."""

    def result(self) -> dict[str, np.ndarray]:
        """Waits for the outputs; see `Engine.__call__`. Call it once."""


@dataclass(frozen=True)
class Finished:
    """A batch that is already done."""

    outputs: dict[str, np.ndarray]

    def result(self) -> dict[str, np.ndarray]:
        return self.outputs


class InTurn:
    """Mix-in for an `Engine` that runs one batch at a time: `start` returns when the batch is done."""

    overlaps = False

    def start(self: Engine, pixels_nhwc: Pixels) -> Pending:
        return Finished(self(pixels_nhwc))


def load_engine(
    config: EngineConfig, model: Model, network: nn.Module | None = None, int8_graph: bytes | None = None
) -> Engine:
    """Loads the engine of ``config`` with ``model``, and runs it on two blank images.

    Args:
        config: names the engine.
        model: the model to run.
        network: the result of `build_network` for ``model``, if already built; the PyTorch engine takes ownership.
        int8_graph: the result of `actors.exporting.quantisation.quantised`, which engine.precision=int8 needs if
            ``model`` has a network.

    Raises:
        JobError: model and engine do not fit, the model does not run or is too large, or a device or provider is
            missing.
        DeviceLostError: the device does not work.
    """
    config.check(model)
    if type(config) not in _ENGINES:
        raise JobError(
            f"engine={config.name}: is chosen by a job, on images of its dataset",
            fix="name one of the engines torch, onnxruntime and openvino",
        )
    # By name, so that a worker imports only the library of its own engine.
    module, name = _ENGINES[type(config)]
    engine = getattr(importlib.import_module(module), name)
    try:
        given = network if engine.name == TorchEngineConfig.name else int8_graph
        return cast("Engine", engine(config, model, given))
    except DeviceMemoryError as error:
        raise too_large(error) from error


def describe(engine: Engine) -> dict[str, str]:
    """Returns name, device, precision and details of ``engine``, for the report."""
    return {"engine": engine.name, "device": engine.device, "precision": engine.precision, **engine.details}


def default_threads() -> int:
    """Returns the number of CPU threads to use: OMP_NUM_THREADS (set by Ray), or the CPUs within their quota."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(given):
        return int(given)
    # Affinity if available: os.cpu_count ignores taskset and cpusets.
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, _cpu_quota(Path("/sys/fs/cgroup/cpu.max"))))


_ENGINES = {
    TorchEngineConfig: ("actors.engines.torch_engine", "TorchEngine"),
    OnnxEngineConfig: ("actors.engines.onnx_engine", "OnnxEngine"),
    OpenVinoEngineConfig: ("actors.engines.openvino_engine", "OpenVinoEngine"),
}
_NO_QUOTA = 1 << 20  # CPUs: more than any machine has


def _cpu_quota(path: Path) -> int:
    """Returns the CPUs that a container may use, rounded up. The file holds two numbers of microseconds: quota and
    period.
    """
    try:  # only cgroup v2 has the file
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return _NO_QUOTA
    return _NO_QUOTA if quota == "max" else -(-int(quota) // int(period))
