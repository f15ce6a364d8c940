"""What this process can compute with, as far as the choice of an engine depends on it. Runs in workers."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from actors.exporting.source_digest import version


@dataclass(frozen=True)
class Hardware:
    """A kind of processor, and the libraries that know how to use it."""

    cpu: str
    """Its name, as the system gives it."""
    cpu_features: tuple[str, ...]
    """Those of `_FEATURES` that it has, as Linux names them."""
    gpu: str | None
    """None also where PyTorch cannot use it."""
    capability: tuple[int, int] | None
    """CUDA's compute capability of the GPU."""
    libraries: tuple[tuple[str, str], ...]
    """Name and version of those that are installed, of `_LIBRARIES`."""

    @property
    def has_bf16(self) -> bool:
        """Whether it computes in bf16, and does not only emulate that."""
        if self.capability:
            return self.capability >= _AMPERE
        return not {"amx_bf16", "avx512_bf16", "bf16"}.isdisjoint(self.cpu_features)

    def has(self, library: str) -> bool:
        return any(library == name for name, _ in self.libraries)


def hardware(*, with_gpu: bool) -> Hardware:
    """What this process has. ``with_gpu`` where it was given one; finding out imports torch."""
    gpu = capability = None
    if with_gpu:
        import torch  # noqa: PLC0415  takes seconds to import

        if torch.cuda.is_available():
            gpu, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    name, features = _cpu(Path("/proc/cpuinfo"))
    return Hardware(name, features, gpu, capability, _installed())


_FEATURES = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16", "bf16")
_LIBRARIES = ("torch", "onnxruntime-gpu", "onnxruntime", "openvino")
_AMPERE = (8, 0)


def _cpu(path: Path) -> tuple[str, tuple[str, ...]]:
    """Name and features of the first processor that Linux tells of; elsewhere what Python knows."""
    try:
        lines = path.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine(), ()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = f"{said.get('flags', '')} {said.get('Features', '')}".split()  # x86 and Arm
    return said.get("model name", platform.machine()), tuple(name for name in _FEATURES if name in flags)


def _installed() -> tuple[tuple[str, str], ...]:
    return tuple((name, installed) for name in _LIBRARIES if (installed := version(name)))
