"""Translates the errors that PyTorch, onnxruntime, OpenVINO and CUDA raise for a device that is out of memory or lost.
Used around each call of an engine.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator


class DeviceError(Exception):
    """The device is at fault, not the job or an image."""


class DeviceMemoryError(DeviceError):
    """The device, which may be the CPU, is out of memory for the batch. A smaller one may fit."""


class DeviceLostError(DeviceError):
    """The device is lost for this process. Only a new process can use it again."""


@contextmanager
def device_errors(*memory_errors: type[Exception]) -> Iterator[None]:
    """Translates exceptions raised in the block into the matching `DeviceError`, if there is one.

    Args:
        memory_errors: the library's own out-of-memory exception types.
    """
    try:
        yield
    except (JobError, DeviceError):
        raise
    except Exception as error:
        found = _device_error_of(error, (MemoryError, *memory_errors))
        if found is None:
            raise
        raise found(one_line(error)) from error


def too_large(error: Exception) -> JobError:
    """Returns the error for a job in which not even a single image fits."""
    return JobError(
        f"the model does not fit into the memory of its device: {one_line(error)}",
        fix="choose a smaller engine.precision or model, or let fewer workers share the device",
    )


# Errors of CUDA after which a process must be restarted (driver_types.h), or should be, in the words of
# cudaGetErrorString of CUDA 13.0. They follow "CUDA error: " (PyTorch, CUDAException.cpp), "CUDA failure 700: "
# (onnxruntime, cuda_call.cc) or "Triton Error [CUDA]: ". They are sticky: later calls return them again.
_LOST = {
    46: "CUDA-capable device(s) is/are busy or unavailable",
    100: "no CUDA-capable device is detected",
    201: "invalid device context",
    214: "uncorrectable ECC error encountered",
    220: "uncorrectable NVLink error detected during the execution",
    226: "Invalid access of peer GPU memory over nvlink or a hardware error",
    700: "an illegal memory access was encountered",
    702: "the launch timed out and was terminated",
    709: "context is destroyed",
    710: "device-side assert triggered",
    714: "hardware stack error",
    715: "an illegal instruction was encountered",
    716: "misaligned address",
    717: "operation not supported on global/shared address space",
    718: "invalid program counter",
    719: "unspecified launch failure",
    721: "tensor memory not completely freed",
    806: "the remote procedural call between the MPS server and the MPS client failed",
    810: "the MPS client has been terminated by the server",
    911: "an async error has occured in external entity outside of CUDA",
    999: "unknown error",  # a GPU that fell off its bus
}

_OUT_OF_MEMORY = (
    "out of memory",  # CUDA, in PyTorch and in onnxruntime (hacksider/Deep-Live-Cam#584)
    "DefaultCPUAllocator: can't allocate memory",  # PyTorch on Linux, seen under RLIMIT_AS
    "DefaultCPUAllocator: not enough memory",  # PyTorch on Windows (pytorch/pytorch#20618)
    "Failed to allocate memory for requested buffer",  # onnxruntime (microsoft/onnxruntime#16307), seen under RLIMIT_AS
    "is smaller than requested bytes",  # the same, if a limit is set
    " bytes of memory",  # OpenVINO: Failed to allocate 64225280 bytes of memory, seen under RLIMIT_AS
    "bad allocation",  # std::bad_alloc on Windows (microsoft/onnxruntime#16305)
    "std::bad_alloc",  # and elsewhere (microsoft/onnxruntime#1725)
    "CUBLAS_STATUS_ALLOC_FAILED",  # layumi/Person_reID_baseline_pytorch#286, hacksider/Deep-Live-Cam#645
    "CUDNN_STATUS_ALLOC_FAILED",  # up to cuDNN 8
    "ALLOCATION_FAILED",  # from cuDNN 9 on: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED, and HOST_
)


def _device_error_of(error: Exception, memory_errors: tuple[type[Exception], ...]) -> type[DeviceError] | None:
    message = str(error)
    if "CUDA" in message and any(f": {text}" in message for text in _LOST.values()):
        return DeviceLostError
    if isinstance(error, memory_errors) or any(text in message for text in _OUT_OF_MEMORY):
        return DeviceMemoryError
    return None
