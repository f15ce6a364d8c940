"""Estimates which engine trials pay off for a job. Pure arithmetic on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.engines.configs import AutoEngineConfig, EngineConfig, Precision, TorchEngineConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.trials.comparison import Trial

# Seconds of work per worker below which no trial pays off, whatever its result.
WORTH_S = 4.0


def may_run_reference(config: EngineConfig) -> bool:
    """Returns True if ``config`` leaves the choice of the engine open, and allows fp32."""
    return isinstance(config, AutoEngineConfig) and config.precision in (Precision.auto, Precision.fp32)


def is_worth(candidate: EngineConfig, trials: Sequence[Trial], num_images: float) -> bool:
    """Returns True if a trial of ``candidate`` costs less than it is likely to save on ``num_images`` per worker.
    ``trials`` are the earlier ones, the reference first.
    """
    fastest = best_rate(trials)
    # If a graph engine already runs, less remains to be gained; more than usual if that one is slow for a graph.
    graph_gain = max(_RIVAL_GAIN, 1 - (1 - _GRAPH_GAIN) * fastest / trials[0].images_per_s)
    return num_images / fastest * (_HALF_GAIN if _is_half(candidate) else graph_gain) > cost_s(candidate)


def likely_share(candidates: Sequence[EngineConfig]) -> float:
    """Returns the likely time of the fastest of ``candidates`` as a share of the reference's."""
    return 1 - max((_HALF_GAIN if _is_half(candidate) else _GRAPH_GAIN for candidate in candidates), default=0.0)


def _is_half(candidate: EngineConfig) -> bool:
    return candidate.precision in (Precision.bf16, Precision.fp16)


def cost_s(candidate: EngineConfig) -> float:
    """Returns the typical worker seconds of a trial of ``candidate``."""
    return _COMPILE_S if isinstance(candidate, TorchEngineConfig) and candidate.compile else _TRY_S


# Share of the model's time that a candidate is likely to save. ResNet-18 to -50, torch eager and OpenVINO, ms per
# image: 23 and 14 in fp32 on an AMD EPYC; 37 and 22 in fp32, 37 and 3.4 in bf16 with AMX. Among fp32 graphs, a tenth.
_GRAPH_GAIN, _HALF_GAIN, _RIVAL_GAIN = 0.33, 0.75, 0.07
# Typical seconds of a trial: 4 to 6 including the export of the network, which later jobs on the node reuse.
_TRY_S, _COMPILE_S = 5.0, 60.0


def best_rate(trials: Sequence[Trial]) -> float:
    """Returns the images per second of the fastest engine within the tolerance; the reference always qualifies."""
    return max(trial.images_per_s for trial in trials if not trial.breaches)
