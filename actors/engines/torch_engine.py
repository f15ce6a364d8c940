"""Runs a network in PyTorch, eagerly or compiled, on CPU or CUDA. Loaded once in each worker that predicts."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from actors.device_errors import DeviceError, device_errors
from actors.engines.base import default_threads
from actors.engines.configs import Device, Precision
from actors.engines.torch_compiler import compiled, piece_size
from actors.engines.torch_transfers import Transfers
from actors.errors import JobError
from actors.messages import one_line
from actors.models.network import build_network
from actors.models.output_shapes import uncounted
from actors.models.outputs import named
from actors.models.pixel_input import PixelInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from actors.engines.base import Pending
    from actors.engines.configs import TorchEngineConfig
    from actors.models.spec import Model
    from actors.pixel_arrays import Pixels
    from actors.preprocess import Preprocess


class TorchEngine:
    """See `actors.engines.base.Engine`.

    Output names are those of `actors.models.outputs.named`. Sets PyTorch's number of threads for the whole process.

    A compiled network gets pieces of one size, the last padded with blank images, so that one compilation serves all
    batch sizes, and an image's answer does not depend on its batch.

    Raises:
        JobError: the device is missing, the network cannot be built or compiled, or does not run on two blank images.
    """

    name = "torch"

    @device_errors(torch.OutOfMemoryError)
    def __init__(self, config: TorchEngineConfig, model: Model, network: nn.Module | None = None) -> None:
        self.device = _device(config.device)
        if config.cuda_graphs and self.device != "cuda":
            raise JobError("engine.cuda_graphs=true: there is no GPU here", fix="omit engine.cuda_graphs")
        self.overlaps = self.device == "cuda"
        self._transfers = Transfers(self.device)
        precision = Precision.fp32 if config.precision is Precision.auto else config.precision
        self.precision = precision.value
        self._dtype = _DTYPES[precision]
        torch.set_num_threads(config.threads or min(default_threads(), torch.get_num_threads()))
        network = build_network(model) if network is None else network
        self._whole = _Normalised(network.to(self.device, self._dtype), model.preprocess, self.device, self._dtype)
        self._run: Callable[[torch.Tensor], Any] = self._whole
        self.uncounted: dict[str, tuple[int, ...]] = {}
        self._piece_size: int | None = None
        self._reuses_outputs = False
        self._choose_memory_format(model)
        self.details = {
            "torch": str(torch.__version__),  # a torch class, which the driver and the ledger must not unpickle
            "threads": str(torch.get_num_threads()),
            "memory_format": str(self._whole.memory_format).removeprefix("torch."),
            **getattr(network, "details", {}),
        }
        if self.device == "cuda":
            self.details["gpu"] = torch.cuda.get_device_name()
        if config.compile:
            self._compile(model, config)

    def __call__(self, pixels_nhwc: Pixels) -> dict[str, np.ndarray]:
        return self.start(pixels_nhwc).result()

    @device_errors(torch.OutOfMemoryError)
    def start(self, pixels_nhwc: Pixels) -> Pending:
        with torch.inference_mode(), _exact_convolutions():
            size = self._piece_size or len(pixels_nhwc)
            parts = [
                self._predict(pixels_nhwc[start : start + size], size) for start in range(0, len(pixels_nhwc), size)
            ]
            return self._transfers.fetch(_joined(parts), len(pixels_nhwc))

    @device_errors(torch.OutOfMemoryError)
    def release(self) -> None:
        gc.collect(1)  # a failed batch may have left reference cycles that hold tensors
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _predict(self, pixels_nhwc: Pixels, size: int) -> dict[str, torch.Tensor]:
        outputs = named(self._run(self._transfers.send(pixels_nhwc, size)))
        self.uncounted = uncounted(outputs, size)
        counted = {name: output for name, output in outputs.items() if name not in self.uncounted}
        return {name: output.clone() for name, output in counted.items()} if self._reuses_outputs else counted

    def _compile(self, model: Model, config: TorchEngineConfig) -> None:
        shape = (*model.preprocess.size, 3)
        self._piece_size = config.piece or piece_size(shape, self.device)
        noise = np.random.default_rng(0).integers(0, 256, (self._piece_size, *shape), np.uint8)
        with torch.inference_mode(), _exact_convolutions():
            batch = self._transfers.send(noise, len(noise))
            self._run = compiled(self._whole, batch, cuda_graphs=config.cuda_graphs)
        self._reuses_outputs = config.cuda_graphs
        self.details |= {"compiled": "yes", "piece": f"{self._piece_size} images"}
        if config.cuda_graphs:
            self.details["cuda_graphs"] = "yes"

    def _choose_memory_format(self, model: Model) -> None:
        """Chooses channels last if that is faster and works: some networks call view where they need reshape.

        Tries two blank images; a view can succeed for one image and fail for more.
        """
        blank = np.zeros((2, *model.preprocess.size, 3), np.uint8)
        is_faster = self.device == "cpu" or self._dtype is not torch.float32
        failures = []
        for memory_format in (torch.channels_last,) * is_faster + (torch.contiguous_format,):
            try:
                self._whole.lay_out(memory_format)
                self(blank)
            except (JobError, DeviceError):
                raise
            except Exception as error:  # noqa: BLE001  the user's code may raise anything
                failures.append(error)
            else:
                return
        raise JobError(
            f"{model.network_key}: fails on a batch of shape {(2, *model.preprocess.input_shape)} "
            f"in {self.precision}: {type(failures[-1]).__name__}: {one_line(failures[-1])}",
            fix="give model.preprocess.crop the size that the network takes, and an engine.precision that it supports"
            + (
                ""
                if model.architecture
                else "; an exported program may keep to the batch size and device of its export"
            ),
        ) from failures[-1]


class _Normalised(nn.Module):
    """Normalisation and network in one module, so that both are compiled; accepts uint8 (n, height, width, 3)."""

    def __init__(self, network: nn.Module, preprocess: Preprocess, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.pixels = PixelInput(preprocess).to(device)
        self.dtype = dtype
        self.memory_format = torch.contiguous_format

    def lay_out(self, memory_format: torch.memory_format) -> None:
        """Sets the memory format of weights and pixels."""
        self.memory_format = memory_format
        self.network.to(memory_format=memory_format)  # type: ignore[call-overload]  # PyTorch's stubs lack it

    def forward(self, pixels_nhwc: torch.Tensor) -> Any:
        numbers_nhwc = self.pixels(pixels_nhwc)
        if self.pixels.is_nhwc:
            return self.network(numbers_nhwc.contiguous().to(self.dtype))
        numbers = numbers_nhwc.permute(0, 3, 1, 2)
        return self.network(numbers.contiguous(memory_format=self.memory_format).to(self.dtype))


_DTYPES = {Precision.fp32: torch.float32, Precision.bf16: torch.bfloat16, Precision.fp16: torch.float16}


@contextmanager
def spare_threads() -> Iterator[None]:
    """Runs engines on all CPUs of this process but one, which is left to another process."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, default_threads() - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(wanted: Device) -> str:
    has_cuda = torch.cuda.is_available()
    if wanted is Device.cuda and not has_cuda:
        built = "finds no GPU" if torch.version.cuda else "is built for CPU only"
        raise JobError(
            f"engine.device=cuda: PyTorch {torch.__version__} {built}", fix="choose engine.device=auto or cpu"
        )
    return "cuda" if has_cuda and wanted is not Device.cpu else "cpu"


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """Keeps cuDNN in full fp32: by default, it rounds the inputs of convolutions to TF32."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # PyTorch creates it on import
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def _joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
