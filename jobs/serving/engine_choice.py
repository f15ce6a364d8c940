"""Chooses the engine of an endpoint with engine=auto: the one that a job has chosen for the model, or else the first
that matches the reference and is faster. Runs on the driver, before anything listens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.engines.candidates import candidates, reference
from actors.engines.configs import OnnxEngineConfig, OpenVinoEngineConfig, Precision, Provider, TorchEngineConfig
from actors.engines.hardware import hardware
from actors.errors import JobError
from actors.predicting.probes import noise
from actors.predicting.reference_check import NUM_COMPARED
from actors.predictor import Predictor
from actors.sample.photo import jpeg
from actors.storage.store import Storage
from actors.storage.uris import absolute, redacted
from jobs.planning.engine_cache import known_choice
from jobs.runs.preflight import model_fingerprint

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.configs import EngineConfig
    from actors.recipe import Recipe
    from jobs.job import Job
    from jobs.serving.config import Serve


@dataclass(frozen=True)
class ServedEngine:
    """An engine, and the reason for choosing it."""

    engine: EngineConfig
    why: str


def choose_engine(job: Job, options: Serve, *, is_here: bool) -> ServedEngine:
    """Chooses and tries an engine for ``job``, whose engine is auto.

    Args:
        job: model, task and limits.
        options: options of the endpoint.
        is_here: True if the replicas run on this machine; measurements made here do not apply elsewhere.

    Raises:
        JobError: the model does not run, or no engine with the given precision matches the reference.
    """
    config, right = job.engine, reference(job.engine, job.model)
    may_run_reference = config.precision in (Precision.auto, Precision.fp32)
    if not is_here and may_run_reference:
        tried(replace(job, engine=right).recipe)
        return ServedEngine(right, "the reference, since replicas may run on other hardware")
    here = hardware(with_gpu=options.gpus_per_replica > 0)
    if options.output is not None:
        root = absolute(options.output)
        known = known_choice(root, model_fingerprint(job), here, Storage())
        if known is not None:
            engine = _as_asked(known.engine, config)
            tried(replace(job, engine=engine).recipe)
            return ServedEngine(engine, f"the choice of a job with output.path={redacted(root)}")
    rivals = [_as_asked(one, config) for one in candidates(config, job.model, here) if _starts_at_once(one)]
    return _first_that_agrees(job, right if may_run_reference else None, rivals)


def tried(recipe: Recipe) -> Predictor:
    """Returns a predictor after it has predicted generated photographs. An engine other than the reference must match
    the reference on them, as set by ``engine.gate``.

    Raises:
        JobError: the model does not run, its answers are wrong, or those for the golden images of its bundle differ.
    """
    predictor = Predictor(recipe)
    predictor.predict([jpeg(number) for number in range(NUM_COMPARED)], batch_size=NUM_COMPARED)
    return predictor


def _first_that_agrees(job: Job, right: EngineConfig | None, rivals: list[EngineConfig]) -> ServedEngine:
    """Returns the first of ``rivals`` that matches the reference and is faster than ``right``; ``right`` if none is.

    Raises:
        JobError: ``right`` is None, and no rival matches.
    """
    image_s = _image_s(tried(replace(job, engine=right).recipe)) if right else float("inf")
    refused = []
    for rival in rivals:
        try:
            predictor = tried(replace(job, engine=rival).recipe)
        except JobError as error:
            refused.append(error.problem)
            continue
        if (needed_s := _image_s(predictor)) < _GAIN * image_s:
            faster = f", {image_s / needed_s:.1f} times as fast as {right.label}" if right else ""
            return ServedEngine(rival, f"agrees with the reference on {NUM_COMPARED} generated photographs{faster}")
    if right is None:
        found = "; ".join(refused) or "no such engine here"
        raise JobError(
            f"engine=auto, engine.precision={job.engine.precision.value}: {found}",
            fix="leave engine.precision at auto, or name the engine",
        )
    return ServedEngine(right, f"no other was faster{f'; {refused[0]}' if refused else ''}")


def _image_s(predictor: Predictor) -> float:
    """Returns the seconds per image in a batch of eight: the minimum of three measurements."""
    pixels = noise(predictor.model.preprocess.size)[[0, 1] * 4]
    return min(_seconds(predictor, pixels) for _ in range(_NUM_TIMED)) / len(pixels)


def _seconds(predictor: Predictor, pixels: np.ndarray) -> float:
    started = time.perf_counter()
    predictor.engine(pixels)
    return time.perf_counter() - started


_NUM_TIMED = 3
_GAIN = 0.9  # a smaller gain is noise


def _as_asked(engine: EngineConfig, config: EngineConfig) -> EngineConfig:
    """Returns ``engine`` with the settings in ``config`` that apply to all engines, for batches of any size."""
    asked = replace(engine, device=config.device, threads=config.threads, tolerance=config.tolerance, gate=config.gate)
    return for_any_size(asked)


def for_any_size(engine: EngineConfig) -> EngineConfig:
    """Returns ``engine``, set up so that changing the batch size takes no time."""
    return replace(engine, dynamic=True) if isinstance(engine, OpenVinoEngineConfig) else engine


def _starts_at_once(engine: EngineConfig) -> bool:
    """Returns False for engines that compile for tens of seconds or more, and for int8, which needs a dataset."""
    compiles = isinstance(engine, TorchEngineConfig) and engine.compile
    builds = isinstance(engine, OnnxEngineConfig) and engine.provider is Provider.tensorrt
    return not (compiles or builds or engine.precision is Precision.int8)
