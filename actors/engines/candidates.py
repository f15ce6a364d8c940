"""The engines and precisions worth trying for a model on the workers' hardware. Runs on the driver."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from actors.engines.configs import (
    AutoEngineConfig,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    Provider,
    TorchEngineConfig,
)
from actors.models.forms import FORMS, form_of

if TYPE_CHECKING:
    from actors.engines.hardware import Hardware
    from actors.models.spec import Model


def reference(config: EngineConfig, model: Model) -> EngineConfig:
    """Returns the engine whose answers count as correct, on the device that ``config`` requests: uncompiled PyTorch in
    fp32, onnxruntime if there is only an .onnx file, or OpenVINO for its own format, in the precision of the file.
    """
    first = form_of(model).engines[0]
    if first == TorchEngineConfig.name:
        return TorchEngineConfig(precision=Precision.fp32, device=config.device, threads=config.threads)
    if first == OpenVinoEngineConfig.name:
        return OpenVinoEngineConfig(device=config.device, threads=config.threads)
    provider = Provider.auto
    if isinstance(config, OnnxEngineConfig):
        wanted = config.wanted_provider()
        provider = Provider.cuda if wanted is Provider.tensorrt else wanted
    return OnnxEngineConfig(device=config.device, provider=provider, threads=config.threads)


def is_reference(config: EngineConfig, model: Model) -> bool:
    """Returns True if ``config`` is the reference of ``model``, so that there is nothing to compare."""
    if config.name != form_of(model).engines[0]:
        return False
    if isinstance(config, OnnxEngineConfig):
        return config.wanted_provider() is not Provider.tensorrt
    if isinstance(config, OpenVinoEngineConfig):  # nothing else runs an IR in int8
        return config.precision in (*_FP32, Precision.int8)
    return config.precision in _FP32 and not (isinstance(config, TorchEngineConfig) and config.compile)


def candidates(config: EngineConfig, model: Model, hardware: Hardware) -> list[EngineConfig]:
    """Returns the engines to compare with the reference: the one that ``config`` names, or all that could be faster
    here, most promising first.
    """
    if not isinstance(config, AutoEngineConfig):
        return [] if is_reference(config, model) else [config]
    # Quantising takes time and costs accuracy, so it must be requested.
    in_int8 = _in_int8(model, hardware)
    if config.precision is Precision.int8:
        found = in_int8
    elif hardware.gpu:
        found = _on_gpu(model, hardware)
    else:
        found = in_int8[:1] * config.admits_int8(model) + _on_cpu(model, hardware)
    return [
        replace(candidate, device=config.device, threads=config.threads)
        for candidate in found
        if config.precision in (Precision.auto, candidate.precision)
        and candidate.name in form_of(model).engines
        and not is_reference(candidate, model)
    ]


def wants_gpu(config: EngineConfig, model: Model) -> bool | None:
    """Returns `EngineConfig.wants_gpu`, or False if no engine that runs ``model`` uses a GPU."""
    on_cpus = (OpenVinoEngineConfig.name,)
    is_for_cpus = any(form.engines == on_cpus and form.owns(model.checkpoint) for form in FORMS)
    return False if is_for_cpus else config.wants_gpu


def needs_export(config: EngineConfig) -> bool:
    """Returns True if ``config`` runs a graph made from a network, with fp32 weights."""
    is_half = isinstance(config, OnnxEngineConfig) and config.precision is Precision.fp16
    return isinstance(config, OnnxEngineConfig | OpenVinoEngineConfig) and not is_half


def missing_engine(model: Model, hardware: Hardware) -> str:
    """Returns the package of a faster engine that the workers lack; empty if they have it, or if it would not help."""
    is_missing = not hardware.gpu and not hardware.has(OpenVinoEngineConfig.name)
    return OpenVinoEngineConfig.name if is_missing and OpenVinoEngineConfig.name in form_of(model).engines else ""


_LARGE_PIECE = 128  # images: the usual batch on a GPU, in one call if memory allows
_FP32 = (Precision.auto, Precision.fp32)


def _on_cpu(model: Model, hardware: Hardware) -> list[EngineConfig]:
    precisions = [Precision.bf16] * hardware.has_fast_bf16 + [Precision.fp32]
    openvino: list[EngineConfig] = [OpenVinoEngineConfig(precision=precision) for precision in precisions]
    found = openvino if hardware.has("openvino") else []
    if not form_of(model).has_network:
        return found
    eager: list[EngineConfig] = [TorchEngineConfig(precision=Precision.bf16)] * hardware.has_fast_bf16
    compiled = [TorchEngineConfig(precision=precision, compile=True) for precision in precisions]
    return [*found, OnnxEngineConfig(precision=Precision.fp32), *eager, *compiled]


def _in_int8(model: Model, hardware: Hardware) -> list[EngineConfig]:
    openvino = [OpenVinoEngineConfig(precision=Precision.int8)] if hardware.has(OpenVinoEngineConfig.name) else []
    runtime = [OnnxEngineConfig(precision=Precision.int8)] if form_of(model).has_network else []
    return [*openvino, *runtime]


def _on_gpu(model: Model, hardware: Hardware) -> list[EngineConfig]:
    if not form_of(model).has_network:
        return [OnnxEngineConfig(provider=Provider.tensorrt)]
    half = Precision.bf16 if hardware.has_fast_bf16 else Precision.fp16
    return [
        TorchEngineConfig(precision=half),
        OnnxEngineConfig(precision=Precision.fp16),
        TorchEngineConfig(precision=half, compile=True, cuda_graphs=True),
        TorchEngineConfig(precision=half, compile=True, piece=_LARGE_PIECE),
        TorchEngineConfig(precision=half, compile=True),
        OnnxEngineConfig(precision=Precision.fp16, provider=Provider.tensorrt),
        TorchEngineConfig(precision=Precision.fp32, compile=True),
    ]
