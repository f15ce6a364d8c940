"""Opens onnxruntime sessions on the requested provider only: by default, onnxruntime logs a line and falls back to
another provider. Used once in each worker, when a model is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from actors.engines.configs import Provider
from actors.errors import JobError

if TYPE_CHECKING:
    from actors.engines.configs import OnnxEngineConfig


@dataclass(frozen=True)
class Runtime:
    """Provider and settings of sessions."""

    provider: Provider
    threads: int
    asked: str
    """The config keys and values, for messages."""
    reason: str = ""
    """The reason for this provider, if the config leaves the choice open."""
    built: Path | None = None
    """Cache folder for TensorRT engines, which take minutes to build; None disables the cache."""
    is_half: bool = False
    """Let TensorRT compute in fp16."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return "cpu" if self.provider is Provider.cpu else "cuda"

    def open(self, model: str | bytes) -> Any:
        """Opens an InferenceSession on ``model``, a path or the content of a file.

        Raises:
            JobError: the session would run on another provider.
            Exception: one of `SESSION_ERRORS`, if the model cannot be loaded.
        """
        onnxruntime.set_default_logger_severity(_FATAL)  # every logged error is also raised
        if self.provider is not Provider.cpu:
            _preload()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        try:
            # The fallback would print a line and run GPU work on the CPU.
            session = onnxruntime.InferenceSession(model, options, self._providers(), enable_fallback=0)
        finally:
            onnxruntime.set_default_logger_severity(_WARNING)
        if session.get_providers()[0] != _NAMES[self.provider]:
            raise _missing(self.provider, self.asked)
        return session

    def _providers(self) -> list[Any]:
        first, *rest = _PROVIDERS[self.provider]
        if self.provider is not Provider.tensorrt or self.built is None:
            return [first, *rest]
        options = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(self.built)}
        return [(first, {**options, "trt_fp16_enable": str(int(self.is_half))}), *rest]


def choose_runtime(config: OnnxEngineConfig, threads: int) -> Runtime:
    """Returns the runtime that ``config`` requests; if it leaves the choice open, CUDA if that works, otherwise the
    CPU.

    Raises:
        JobError: the requested provider is missing.
    """
    wanted = config.wanted_provider()
    asked = f"engine.device={config.device.value}, engine.provider={config.provider.value}"
    if wanted is Provider.auto:
        reason = _why_not(Provider.cuda)
        return Runtime(Provider.cpu if reason else Provider.cuda, threads, asked, reason or "a GPU is there")
    if wanted is not Provider.cpu and _why_not(wanted):
        raise _missing(wanted, asked)
    return Runtime(wanted, threads, asked)


# onnxruntime's own exceptions have no base class in common.
SESSION_ERRORS = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.ModelRequiresCompilation,
    native.NoModel,
    native.NoSuchFile,
    native.NotFound,
    native.NotImplemented,
    native.RuntimeException,
    RuntimeError,
    ValueError,
)

_WARNING, _FATAL = 2, 4  # onnxruntime's log severities; warning is its default
_NAMES = {
    Provider.cpu: "CPUExecutionProvider",
    Provider.cuda: "CUDAExecutionProvider",
    Provider.tensorrt: "TensorrtExecutionProvider",
}
# By default, CUDA rounds fp32 to TF32, which changes answers. The CPU runs operators that have no GPU kernel.
_CUDA: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]
_PROVIDERS: dict[Provider, list[Any]] = {
    Provider.cpu: ["CPUExecutionProvider"],
    Provider.cuda: _CUDA,
    Provider.tensorrt: ["TensorrtExecutionProvider", *_CUDA],
}


def _why_not(provider: Provider) -> str:
    """Returns the reason why ``provider`` cannot work here; empty if none is found."""
    if _NAMES[provider] not in onnxruntime.get_available_providers():
        return f"this onnxruntime has no {_NAMES[provider]}"
    if not _num_gpus():
        return "no NVIDIA GPU is visible"
    return _why_not_loaded(provider)


def _num_gpus() -> int:
    """Returns the number of NVIDIA GPUs visible to this process."""
    # From the driver itself: onnxruntime lists all built-in providers, even without a GPU.
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def _why_not_loaded(provider: Provider) -> str:
    """Returns the system loader's error for the library of ``provider``; empty if it loads."""
    if os.name == "nt":
        return ""
    _preload()
    folder = Path(native.__file__).parent
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{provider.value}.so"))
    except OSError as error:
        return str(error)
    return ""


def _preload() -> None:
    """Loads CUDA and cuDNN from pip's packages. Discards its output: the loader's own errors are clearer."""
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()


def _missing(provider: Provider, asked: str) -> JobError:
    available = ", ".join(onnxruntime.get_available_providers())
    reason = _why_not(provider) or "onnxruntime could not start it"
    return JobError(
        f"{asked}: {_NAMES[provider]} does not work here: {reason} (onnxruntime "
        f"{onnxruntime.__version__} was built with {available})",
        fix="run on a machine with a GPU, after pip install 'onnxruntime-gpu[cuda,cudnn]'; or set both keys to cpu",
    )
