"""Compiles a network with torch.compile. Runs once in each worker, when PyTorch loads a model."""

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


def compiled(network: nn.Module, batch: torch.Tensor, *, cuda_graphs: bool = False) -> Callable[[torch.Tensor], Any]:
    """Compiles ``network`` for batches of the shape of ``batch`` and the current number of threads.

    On a CPU, the weights are frozen: a second copy exists until the process ends. Nothing is compiled later: other
    shapes, and branches that the network did not take on ``batch``, run eagerly. Call it in inference mode.

    Args:
        network: a network that runs eagerly on ``batch``.
        batch: typical images, since a network may branch on their values.
        cuda_graphs: on a GPU, record the kernels of a call and replay them together. The next call then overwrites the
            outputs. No effect on a CPU.

    Raises:
        JobError: no C++ compiler is installed, or the network cannot be compiled.
        DeviceMemoryError: ``batch`` does not fit into the memory of the device.
    """
    num_threads = torch.get_num_threads()
    with warnings.catch_warnings(action="ignore"):  # the compiler's own, of no use to users
        from torch._dynamo.utils import counters  # noqa: PLC0415  the compiler takes seconds to import

        num_graphs = counters["stats"]["unique_graphs"]
        # Isolated from other networks: otherwise PyTorch stops compiling after the eighth network in a process.
        mode = "reduce-overhead" if cuda_graphs else None
        run = torch.compile(network, dynamic=False, mode=mode, isolate_recompiles=True)  # type: ignore[call-overload]  # stubs lack it
        with torch.inference_mode(), _refusals(), _freezing() if batch.device.type == "cpu" else nullcontext():
            for _ in range(_CALLS_TO_RECORD if cuda_graphs else 1):
                run(batch)
        if counters["stats"]["unique_graphs"] == num_graphs:
            raise JobError("engine.compile=true: PyTorch compiled nothing", fix=_FIX)

    def run_compiled(batch: torch.Tensor) -> Any:
        torch.set_num_threads(num_threads)  # compiled code is guarded by this number, and skipped if it differs
        with torch.compiler.set_stance("eager_on_recompile"):
            return run(batch)

    return run_compiled


def piece_size(shape: tuple[int, ...], device: str) -> int:
    """Returns the number of images of ``shape`` to compile for, a power of two; batches are cut into pieces of that
    size.

    Larger pieces are no faster, and waste more on padding. Smaller pieces have more overhead per call.
    """
    typical = _PIECES[device]
    fitting = max(1, typical * 224 * 224 * 3 // math.prod(shape))
    return 1 << (min(fitting, 4 * typical).bit_length() - 1)


_PIECES = {"cpu": 8, "cuda": 32}  # images of 224 by 224 pixels
_CALLS_TO_RECORD = 3  # PyTorch compiles and warms up in the first, records in the second, and replays the third
_FIX = "set engine.compile=false"


@contextmanager
def _freezing() -> Iterator[None]:
    from torch._inductor import config  # noqa: PLC0415

    # With "tf32", the compiler uses oneDNN for linear layers, which still computes in fp32 once the setting is
    # restored. MKL's rounding would depend on an image's position in the batch if a layer has fewer than 16 outputs.
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # PyTorch creates it on import
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        # More threads start processes that stay alive, and there is little to compile on a CPU.
        with config.patch(freezing=True, compile_threads=1):
            yield
    finally:
        matmul.fp32_precision = before


@contextmanager
def _refusals() -> Iterator[None]:
    """Converts errors of the compiler to `JobError`."""
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
                "engine.compile=true: PyTorch finds no C++ compiler", fix=f"install g++ on every worker, or {_FIX}"
            ) from error
        # The C++ compiler's error is buried deep in the message.
        reason = next((line.strip() for line in str(cause).splitlines() if "error: " in line), one_line(cause))
        raise JobError(
            f"engine.compile=true: the network cannot be compiled: {type(cause).__name__}: {reason}", fix=_FIX
        ) from error
