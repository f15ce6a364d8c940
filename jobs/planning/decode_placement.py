"""Where images are decoded: on the CPUs beside the GPUs, or on the GPUs themselves. Pure arithmetic on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.decoding.config import DecodeDevice

if TYPE_CHECKING:
    from jobs.planning.engine_cache import Choice
    from jobs.planning.planner import Plan


def decode_device(asked: DecodeDevice, plan: Plan, choice: Choice, *, cpus: float) -> DecodeDevice:
    """What ``asked`` comes to on a cluster of so many CPUs, for a ``plan`` with decoding on the CPU.

    The GPU is taken where it may, and where images come clearly faster though it decodes and predicts in turn, because
    the CPUs cannot feed it.
    """
    trial, calibration = choice.decoders, choice.calibration
    if asked is not DecodeDevice.auto:
        return asked
    if trial is None or calibration is None or trial.breaches or not calibration.rates.images_per_s:
        return DecodeDevice.cpu
    model = max(calibration.rates.images_per_s.values())
    fed_by_cpus = (cpus - plan.workers * plan.worker_cpus) / (calibration.costs.read_s + trial.cpu_s)
    on_cpus = min(fed_by_cpus, plan.workers * model)
    on_gpus = plan.workers / (calibration.costs.read_s + trial.gpu_s + 1 / model)
    return DecodeDevice.gpu if on_gpus > _CLEARLY * on_cpus else DecodeDevice.cpu


_CLEARLY = 1.1
