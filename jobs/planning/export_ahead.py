"""Work for the workers' start that the driver does while Ray starts."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from actors.engines.candidates import candidates, needs_export, reference, wants_gpu
from actors.engines.configs import OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.engines.graph_source import exported_to_openvino
from actors.engines.hardware import hardware
from actors.errors import JobError
from actors.exporting.export_cache import exported
from actors.trials.comparison import Trial
from jobs.cluster.resources import num_gpus_here
from jobs.planning.engine_cache import known_choice, node_entry
from jobs.planning.trial_worth import WORTH_S, is_tried, may_run_reference

if TYPE_CHECKING:
    from actors.engines.configs import EngineConfig
    from jobs.cluster.local_ray import LocalRay
    from jobs.runs.opening import Run


def export_ahead(run: Run, *, num_missing: int) -> None:
    """Exports the network if the first engine to try on this machine runs a graph.

    The driver has built the network for its own check, so workers need neither build it nor import torch. Does nothing
    for a cluster, whose nodes export for themselves, or for a job too small to switch from the reference.
    """
    first = _first_tried(run, num_missing)
    if run.checked.network is not None and first and needs_export(first):
        reads_openvino = isinstance(first, OpenVinoEngineConfig) and first.precision is not Precision.int8
        with suppress(JobError):  # the engine's trial raises it again, with the engine's name
            (exported_to_openvino if reads_openvino else exported)(run.job.model, network=run.checked.network)


def preload_ahead(run: Run, ray: LocalRay, *, num_missing: int) -> None:
    """Imports PyTorch for the workers if they are sure to need it. Each would take two seconds."""
    config, work_s = run.job.engine, num_missing * run.checked.image_s
    if work_s < WORTH_S and may_run_reference(config) and not (_first_tried(run, num_missing) or _has_choice(run)):
        config = reference(config, run.job.model)
    if config.name == TorchEngineConfig.name:
        ray.preload("torch")


def _first_tried(run: Run, num_missing: int) -> EngineConfig | None:
    """Returns the engine that is likely to be tried first, if the driver has loaded the reference and this machine does
    the work.
    """
    config, model = run.job.engine, run.job.model
    if run.job.cluster.address is not None or run.checked.reference_engine is None:
        return None
    if num_gpus_here() and wants_gpu(config, model) is not False:
        return None
    rate, num_images = [Trial("reference", 1 / run.checked.image_s)], num_missing / (os.cpu_count() or 1)
    has_network = run.checked.network is not None
    for candidate in candidates(config, model, hardware(with_gpu=False)):
        if is_tried(candidate, config, rate, num_images, has_network=has_network):
            return candidate
    return None


def _has_choice(run: Run) -> bool:
    """Returns True if earlier jobs have compared engines on this machine, for this output or for these images."""
    fingerprint, here = run.paths.fingerprint, hardware(with_gpu=False)
    if known_choice(run.paths.root, fingerprint, here, run.storage):
        return True
    return node_entry(fingerprint, run.record.inventory_digest, here) is not None
