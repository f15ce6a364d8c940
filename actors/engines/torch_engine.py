"""PyTorch runs the network eagerly, on CPU or CUDA. Loaded once in each worker that predicts."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from actors.engines.base import check_outputs, default_threads
from actors.engines.configs import Device, Precision
from actors.engines.device_errors import DeviceError, device_errors
from actors.errors import JobError
from actors.messages import one_line
from actors.models import build_network
from actors.preprocess import scale_and_bias

if TYPE_CHECKING:
    from actors.engines.configs import TorchEngineConfig
    from actors.models import Model


class TorchEngine:
    """See `actors.engines.base.Engine`.

    A tensor that the network returns is named ``output``; those of a tuple or list ``output_0`` and on, by place;
    those of a dictionary keep their names. What is no tensor is left out. PyTorch's number of threads, which the
    whole process shares, is set.

    Raises:
        JobError: the device is missing, the network cannot be built, or does not run on two blank images.
    """

    name = "torch"

    @device_errors(torch.OutOfMemoryError)
    def __init__(self, config: TorchEngineConfig, model: Model) -> None:
        self.device = _device(config.device)
        precision = Precision.fp32 if config.precision is Precision.auto else config.precision
        self.precision = precision.value
        self._dtype = _DTYPES[precision]
        torch.set_num_threads(config.threads or min(default_threads(), torch.get_num_threads()))
        scale, bias = scale_and_bias(model.preprocess)
        self._scale = torch.from_numpy(scale).to(self.device).view(3, 1, 1)
        self._bias = torch.from_numpy(bias).to(self.device).view(3, 1, 1)
        self._network = build_network(model).to(self.device, self._dtype)
        self._memory_format = self._choose_memory_format(model)
        self.details = {
            "torch": torch.__version__,
            "threads": str(torch.get_num_threads()),
            "memory_format": str(self._memory_format).removeprefix("torch."),
        }
        if self.device == "cuda":
            self.details["gpu"] = torch.cuda.get_device_name()

    @device_errors(torch.OutOfMemoryError)
    def __call__(self, pixels_nhwc: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode(), _exact_convolutions():
            outputs = _named(self._network(self._normalise(pixels_nhwc)))
            check_outputs(outputs, len(pixels_nhwc))
            return {name: _to_numpy(tensor) for name, tensor in outputs.items()}

    @device_errors(torch.OutOfMemoryError)
    def release(self) -> None:
        gc.collect(1)  # what failed a moment ago may have left cycles that hold tensors
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _normalise(self, pixels_nhwc: np.ndarray) -> torch.Tensor:
        """Floating (n, 3, height, width) on the device, from pixels that travel as uint8."""
        # Torch cannot wrap read-only arrays, and copies to a GPU faster from pinned memory: one copy serves both.
        staged = torch.empty(pixels_nhwc.shape, dtype=torch.uint8, pin_memory=self.device == "cuda")
        np.copyto(staged.numpy(), pixels_nhwc)
        pixels = staged.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        pixels = pixels.contiguous(memory_format=self._memory_format)
        return pixels.to(torch.float32).mul_(self._scale).add_(self._bias).to(self._dtype)

    def _choose_memory_format(self, model: Model) -> torch.memory_format:
        """Channels last where that is faster and the network allows it: some networks view what they must reshape.

        Two blank images tell; with one, a view can pass that fails with more.
        """
        blank = np.zeros((2, *model.preprocess.size, 3), np.uint8)
        is_faster = self.device == "cpu" or self._dtype is not torch.float32
        failures = []
        for memory_format in (torch.channels_last,) * is_faster + (torch.contiguous_format,):
            self._memory_format = memory_format
            try:
                self._network.to(memory_format=memory_format)  # type: ignore[call-overload]  # PyTorch's stubs lack it
                self(blank)
            except (JobError, DeviceError):
                raise
            except Exception as error:  # noqa: BLE001  the user's own code may raise anything
                failures.append(error)
            else:
                return memory_format
        raise JobError(
            f"model.architecture={model.architecture}: fails on a batch of shape (2, 3, {blank.shape[1]}, "
            f"{blank.shape[2]}) in {self.precision}: {type(failures[-1]).__name__}: {one_line(failures[-1])}",
            cure="give model.preprocess.crop the size that the network takes, and an engine.precision that it can do",
        ) from failures[-1]


_DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


def _device(wanted: Device) -> str:
    has_cuda = torch.cuda.is_available()
    if wanted is Device.cuda and not has_cuda:
        built = "finds no GPU" if torch.version.cuda else "is built for CPU alone"
        raise JobError(
            f"engine.device=cuda: PyTorch {torch.__version__} {built}", cure="choose engine.device=auto or cpu"
        )
    return "cuda" if has_cuda and wanted is not Device.cpu else "cpu"


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Holds cuDNN to fp32 where fp32 was said: by default it rounds what goes into a convolution to TF32."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # PyTorch makes it at import
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def _named(returned: Any) -> dict[str, torch.Tensor]:
    if isinstance(returned, torch.Tensor):
        return {"output": returned}
    if isinstance(returned, Mapping):
        named = {str(name): value for name, value in returned.items()}
    elif isinstance(returned, tuple | list):
        named = {f"output_{place}": value for place, value in enumerate(returned)}
    else:
        named = {}
    tensors = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise JobError(
            f"the network returns a {type(returned).__name__} without tensors",
            cure="name an architecture that returns a tensor, or a tuple, list or dictionary of tensors",
        )
    return tensors


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)
    array: np.ndarray = tensor.cpu().contiguous().numpy()
    return array
