from __future__ import annotations

import ctypes
import ctypes.util
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from pressed import LOST, save_pressed

from actors.device_errors import (
    _LOST,
    DeviceError,
    DeviceLostError,
    DeviceMemoryError,
    device_errors,
    too_large,
)
from actors.engines.base import load_engine
from actors.engines.configs import Device, TorchEngineConfig
from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OUT_OF_MEMORY = [
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB",
    "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in ...",
    "err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 61440000 bytes. Error code 12",
    "data. DefaultCPUAllocator: not enough memory: you tried to allocate 1981808640 bytes.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "Status Message: bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 245760000\n",
    "Failed to allocate 64225280 bytes of memory",
    "Available memory of 1048576 is smaller than requested bytes of 4194304",
    "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0 ; hostname=here ; expr=cudaStreamCreate();",
    "Status Message: CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=here",
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: bad allocation",
    "std::bad_alloc",
]
OTHERS = [
    "mat1 and mat2 shapes cannot be multiplied (2x16 and 8x4)",
    "CUDA error: invalid argument",
    "CUDA error: no kernel image is available for execution on the device",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "the launch timed out and was terminated",  # not from CUDA
    "unknown error",
]


def raised(said: str) -> Exception:
    """Returns the exception that replaces a library's error."""
    with pytest.raises((RuntimeError, DeviceError)) as caught, device_errors():
        raise RuntimeError(said)
    return caught.value


def test_what_libraries_say_of_memory_is_one_error() -> None:
    for said in OUT_OF_MEMORY:
        error = raised(said)
        assert type(error) is DeviceMemoryError, said
        assert str(error) == said.splitlines()[0]
        assert str(error.__cause__) == said


@pytest.mark.parametrize(
    "says", ["CUDA error: {}\nCompile with ...", "CUDA failure {code}: {} ; GPU=0", "Triton [CUDA]: {}"]
)
def test_what_libraries_say_of_a_lost_device_is_another(says: str) -> None:
    for code, text in _LOST.items():
        assert type(raised(says.format(text, code=code))) is DeviceLostError


@pytest.mark.parametrize("said", OTHERS)
def test_all_else_goes_through_as_it_is(said: str) -> None:
    error = raised(said)
    assert (type(error), str(error), error.__cause__) == (RuntimeError, said, None)


@pytest.mark.parametrize("error", [JobError("CUDA out of memory", fix="none"), DeviceLostError("CUDA out of memory")])
def test_errors_of_ours_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, device_errors():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("allocate", [lambda: torch.empty(10**15), lambda: np.empty(10**15), lambda: bytearray(10**17)])
def test_memory_that_really_cannot_be_had(allocate: Callable[[], object]) -> None:
    with pytest.raises(DeviceMemoryError), device_errors():
        allocate()


def test_a_librarys_own_type_needs_no_words() -> None:
    with pytest.raises(DeviceMemoryError, match="no room"), device_errors(torch.OutOfMemoryError):
        raise torch.OutOfMemoryError("no room")


def test_the_texts_are_those_of_cuda() -> None:
    name = ctypes.util.find_library("cudart")
    if name is None:
        pytest.skip("needs CUDA's runtime library, though no GPU")
    describe = ctypes.CDLL(name).cudaGetErrorString
    describe.restype = ctypes.c_char_p
    assert {code: describe(code).decode() for code in _LOST} == _LOST


def test_they_travel_between_processes() -> None:
    for error in (DeviceMemoryError("a"), DeviceLostError("b")):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
        assert (type(again), str(again), isinstance(again, DeviceError)) == (type(error), str(error), True)


def test_too_large_a_model_is_told_with_the_fix() -> None:
    assert "fewer workers share the device" in str(too_large(DeviceMemoryError("CUDA out of memory.")))


@pytest.mark.parametrize(("kwargs", "error"), [({"most": 1}, JobError), ({"says": LOST}, DeviceLostError)])
def test_loading_tells_devices_from_models(tmp_path: Path, kwargs: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match=r"does not fit into the memory|device-side assert"):
        load_engine(TorchEngineConfig(device=Device.cpu), save_pressed(tmp_path, **kwargs))


ASSERTS_ON_GPU = """
import numpy as np, torch
from actors.device_errors import DeviceLostError, device_errors
for attempt in range(2):  # the second one fails though nothing is wrong with it
    try:
        with device_errors(torch.OutOfMemoryError):
            torch.zeros(4, device="cuda")[torch.tensor([9 - 9 * attempt], device="cuda")].cpu()
    except DeviceLostError as error:
        print(error)
"""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_that_is_really_lost_stays_so() -> None:
    done = subprocess.run([sys.executable, "-c", ASSERTS_ON_GPU], capture_output=True, text=True, check=False)
    assert done.stdout == "CUDA error: device-side assert triggered\n" * 2
