"""Compiles a network with PyTorch's compiler. Runs once in each worker, where PyTorch loads a model."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from actors.device_errors import DeviceError, device_errors
from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn


def compiled(network: nn.Module, batch: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """``network`` for batches of the shape of ``batch`` and the present number of threads.

    On a CPU its weights are frozen in: a copy beside those of ``network``, which stays to the end of the process.
    Nothing is compiled later: other shapes, and branches that the network did not take on ``batch``, run eagerly. Call
    it in inference mode.

    Args:
        network: it runs eagerly on ``batch``.
        batch: what images look like, since a network may branch on what it sees.

    Raises:
        JobError: there is no C++ compiler, or the network cannot be compiled.
        DeviceMemoryError: ``batch`` does not fit into the memory of the device.
    """
    num_threads = torch.get_num_threads()
    with warnings.catch_warnings(action="ignore"):  # the compiler's, on its own affairs
        from torch._dynamo.utils import counters  # noqa: PLC0415  the compiler takes seconds to import

        num_graphs = counters["stats"]["unique_graphs"]
        # Apart from other networks: else PyTorch stops compiling after the eighth of a process.
        run = torch.compile(network, dynamic=False, isolate_recompiles=True)  # type: ignore[call-overload]  # stubs lack it
        with torch.inference_mode(), _refusals(), _freezing() if batch.device.type == "cpu" else nullcontext():
            run(batch)
        if counters["stats"]["unique_graphs"] == num_graphs:
            raise JobError("engine.compile=true: PyTorch compiled nothing", cure=_CURE)

    def run_compiled(batch: torch.Tensor) -> Any:
        torch.set_num_threads(num_threads)  # the code is made for so many, and would be passed over with another number
        with torch.compiler.set_stance("eager_on_recompile"):
            return run(batch)

    return run_compiled


def piece_size(shape: tuple[int, ...], device: str) -> int:
    """How many images of ``shape`` are best compiled for, as they come in pieces of that size: a power of two.

    In a larger piece they are no faster, and more of the last one is blank. In a smaller one, calls weigh more.
    """
    typical = _PIECES[device]
    fitting = max(1, typical * 224 * 224 * 3 // math.prod(shape))
    return 1 << (min(fitting, 4 * typical).bit_length() - 1)


_PIECES = {"cpu": 8, "cuda": 32}  # images of 224 by 224 pixels
_CURE = "set engine.compile=false"


@contextmanager
def _freezing() -> Iterator[None]:
    from torch._inductor import config  # noqa: PLC0415

    # Set to this, the compiler gives linear layers to oneDNN, which computes in fp32 all the same once it is set back.
    # MKL has them otherwise, and rounds by an image's place in the batch where there are fewer than 16 outputs.
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # PyTorch makes it at import
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        # More threads start processes that stay, and on a CPU there is little to compile.
        with config.patch(freezing=True, compile_threads=1):
            yield
    finally:
        matmul.fp32_precision = before


@contextmanager
def _refusals() -> Iterator[None]:
    """Raises `JobError` for what the compiler raises."""
    from torch._inductor.exc import InvalidCxxCompiler  # noqa: PLC0415

    try:
        with device_errors(torch.OutOfMemoryError):
            yield
    except DeviceError:
        raise
    except Exception as error:
        cause = getattr(error, "inner_exception", error)
        if isinstance(cause, InvalidCxxCompiler):
            raise JobError(
                "engine.compile=true: PyTorch finds no C++ compiler", cure=f"install g++ on every worker, or {_CURE}"
            ) from error
        # What a C++ compiler said stands deep in the message.
        said = next((line.strip() for line in str(cause).splitlines() if "error: " in line), one_line(cause))
        raise JobError(
            f"engine.compile=true: the network cannot be compiled: {type(cause).__name__}: {said}", cure=_CURE
        ) from error
