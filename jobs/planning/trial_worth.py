"""Estimates which engine trials pay off for a job. Pure arithmetic on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.engines.candidates import needs_export
from actors.engines.configs import AutoEngineConfig, EngineConfig, OnnxEngineConfig, Precision, TorchEngineConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.trials.comparison import Trial

# Seconds of work per worker below which no trial pays off, whatever its result.
WORTH_S = 4.0


def may_run_reference(config: EngineConfig) -> bool:
    """Returns True if ``config`` leaves the choice of the engine open, and allows fp32."""
    return isinstance(config, AutoEngineConfig) and config.precision in (Precision.auto, Precision.fp32)


def is_tried(
    candidate: EngineConfig,
    config: EngineConfig,
    trials: Sequence[Trial],
    num_images: float,
    *,
    has_network: bool = False,
) -> bool:
    """Returns True if ``config`` rules out the reference, or if `is_worth`, whose other arguments these are."""
    return not may_run_reference(config) or is_worth(candidate, trials, num_images, has_network=has_network)


def is_worth(candidate: EngineConfig, trials: Sequence[Trial], num_images: float, *, has_network: bool = False) -> bool:
    """Returns True if a trial of ``candidate`` costs less than it is likely to save on ``num_images`` per worker.

    Args:
        candidate: engine to try.
        trials: the earlier ones, the reference first.
        num_images: images per worker.
        has_network: the driver has loaded the network. It then exports in a fraction of the usual time, and a worker
            that runs the graph does not import PyTorch.
    """
    fastest = best_rate(trials)
    # If a graph engine already runs, less remains to be gained; more than usual if that one is slow for a graph.
    graph_gain = max(_RIVAL_GAIN, 1 - (1 - _GRAPH_GAIN) * fastest / trials[0].images_per_s)
    saved_s = num_images / fastest * (_HALF_GAIN if _is_half(candidate) else graph_gain)
    if has_network and needs_export(candidate) and candidate.precision is not Precision.int8:
        start_s = 0.0 if _is_half(candidate) else _TORCH_S  # a graph in fp32 saves it too, and changes less
        return saved_s + start_s > _EXPORT_S + _NUM_COMPARED / trials[0].images_per_s
    return saved_s > cost_s(candidate)


def likely_share(candidates: Sequence[EngineConfig]) -> float:
    """Returns the likely time of the fastest of ``candidates`` as a share of the reference's."""
    return 1 - max((_HALF_GAIN if _is_half(candidate) else _GRAPH_GAIN for candidate in candidates), default=0.0)


def _is_half(candidate: EngineConfig) -> bool:
    return candidate.precision in (Precision.bf16, Precision.fp16)


def cost_s(candidate: EngineConfig) -> float:
    """Returns the typical worker seconds of a trial of ``candidate``."""
    if isinstance(candidate, TorchEngineConfig) and candidate.compile:
        return _COMPILE_S
    return _ONNX_S if isinstance(candidate, OnnxEngineConfig) else _TRY_S


# Share of the model's time that a candidate is likely to save. ResNet-18 to -50, torch eager and OpenVINO, ms per
# image: 23 and 14 in fp32 on an AMD EPYC; 37 and 22 in fp32, 37 and 3.4 in bf16 with AMX. Among fp32 graphs, a tenth.
_GRAPH_GAIN, _HALF_GAIN, _RIVAL_GAIN = 0.33, 0.75, 0.07
# Typical seconds of a trial: 4 to 6 including a trace of the network, 12 with a ResNet-18's export to ONNX. Later jobs
# on the node reuse both.
_TRY_S, _ONNX_S, _COMPILE_S = 5.0, 12.0, 60.0
# The same with a loaded network: the sample network takes 0.9 s; larger ones, about as long as images of the reference.
_EXPORT_S, _NUM_COMPARED = 1.0, 40
_TORCH_S = 2.0  # CPU seconds of importing PyTorch in a worker


def best_rate(trials: Sequence[Trial]) -> float:
    """Returns the images per second of the fastest engine within the tolerance; the reference always qualifies."""
    return max(trial.images_per_s for trial in trials if not trial.breaches)
