"""The processors and libraries on which the choice of an engine depends. Runs in workers."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from actors.exporting.source_digest import version


@dataclass(frozen=True)
class Hardware:
    """The processors of a worker, and the libraries that can use them."""

    cpu: str
    """Model name, as the system reports it."""
    cpu_features: tuple[str, ...]
    """The CPU's flags among `_FEATURES`, as Linux names them, that PyTorch and OpenVINO may use: the variable
    ONEDNN_MAX_CPU_ISA limits both."""
    gpu: str | None
    """Name of the GPU; None if there is none, or PyTorch cannot use it."""
    capability: tuple[int, int] | None
    """CUDA's compute capability of the GPU."""
    libraries: tuple[tuple[str, str], ...]
    """Name and version of each installed library among `_LIBRARIES`."""

    @property
    def has_fast_bf16(self) -> bool:
        """True if bf16 is faster than fp32 here."""
        if self.capability:
            return self.capability >= _AMPERE
        # avx512_bf16 alone helps on AMD: OpenVINO 2026.4 predicts 127 images/s with a ResNet-18 in bf16 and 68 in fp32
        # (EPYC of family 26, one thread). Intel needs AMX: without it, 26 in bf16 and 38 in fp32.
        has_fast_dot = self.cpu.startswith("AMD") and "avx512_bf16" in self.cpu_features
        return has_fast_dot or not {"amx_bf16", "bf16"}.isdisjoint(self.cpu_features)

    @property
    def saturates_int8(self) -> bool:
        """True if int8 products are accumulated in 16 bits, which overflow: x86 without VNNI."""
        return "avx2" in self.cpu_features and {"avx_vnni", "avx512_vnni"}.isdisjoint(self.cpu_features)

    def has(self, library: str) -> bool:
        return any(library == name for name, _ in self.libraries)


def hardware(*, with_gpu: bool) -> Hardware:
    """Returns the hardware of this process. ``with_gpu``: it was assigned a GPU; querying the GPU imports torch."""
    gpu = capability = None
    if with_gpu:
        import torch  # noqa: PLC0415  takes seconds to import

        if torch.cuda.is_available():
            gpu, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    name, features = _cpu(Path("/proc/cpuinfo"))
    allowed = _ALLOWED.get(os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper(), _FEATURES)
    return Hardware(name, tuple(flag for flag in features if flag in allowed), gpu, capability, _installed())


_FEATURES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "amx_fp16", "bf16")
_AVX512 = ("avx2", "avx512f")
_ALLOWED = {
    "SSE41": (),
    "AVX": (),
    "AVX2": ("avx2",),
    "AVX2_VNNI": ("avx2", "avx_vnni"),
    "AVX2_VNNI_2": ("avx2", "avx_vnni"),
    "AVX512_CORE": _AVX512,
    "AVX512_CORE_VNNI": (*_AVX512, "avx512_vnni"),
    "AVX512_CORE_BF16": (*_AVX512, "avx512_vnni", "avx512_bf16"),
    "AVX512_CORE_FP16": (*_AVX512, "avx512_vnni", "avx512_bf16"),
}
"""Features by value of ONEDNN_MAX_CPU_ISA. Its higher values include AMX."""
_LIBRARIES = ("torch", "onnxruntime-gpu", "onnxruntime", "openvino")
_AMPERE = (8, 0)


def _cpu(path: Path) -> tuple[str, tuple[str, ...]]:
    """Returns name and features of the first processor in /proc/cpuinfo; on other systems, only the name."""
    try:
        lines = path.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine(), ()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = f"{values.get('flags', '')} {values.get('Features', '')}".split()  # x86 and Arm
    return values.get("model name", platform.machine()), tuple(name for name in _FEATURES if name in flags)


def _installed() -> tuple[tuple[str, str], ...]:
    return tuple((name, installed) for name in _LIBRARIES if (installed := version(name)))
