"""Chooses whether images are decoded on the CPUs or the GPUs. Pure arithmetic on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.decoding.config import DecodeDevice

if TYPE_CHECKING:
    from jobs.planning.engine_cache import Choice
    from jobs.planning.planner import Plan


def decode_device(asked: DecodeDevice, plan: Plan, choice: Choice, *, cpus: float) -> DecodeDevice:
    """Resolves ``asked`` for a cluster with this many CPUs; ``plan`` must decode on the CPU.

    With auto, the GPU decodes if its pixels passed the trial and the run becomes clearly faster. Decoding there
    alternates with the model, so it helps only if the CPUs cannot keep the GPU busy.
    """
    trial, calibration = choice.decoders, choice.calibration
    if asked is not DecodeDevice.auto:
        return asked
    if trial is None or calibration is None or trial.breaches or not calibration.rates.images_per_s:
        return DecodeDevice.cpu
    model = max(calibration.rates.images_per_s.values())
    fed_by_cpus = (cpus - plan.workers * plan.worker_cpus) / (calibration.costs.read_s + trial.cpu_s)
    num_gpus = plan.workers * plan.worker_gpus  # each as fast as a single worker on it, as in the trials
    on_cpus = min(fed_by_cpus, num_gpus * model)
    on_gpus = num_gpus / (calibration.costs.read_s + trial.gpu_s + 1 / model)
    return DecodeDevice.gpu if on_gpus > _CLEARLY * on_cpus else DecodeDevice.cpu


_CLEARLY = 1.1  # ratio of two rates above which the gain exceeds measurement noise
