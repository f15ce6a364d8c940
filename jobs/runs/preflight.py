"""Checks that reject a wrong job within seconds: the complete recipe is built and run on one blank image. Runs on the
driver, before any actor starts.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.columns import ERROR_FIELDS, IMAGE_ID, PARTITIONS, TARGET, URI
from actors.decoding.config import Decode, DecodeDevice, Truncated, has_nvimgcodec
from actors.engines.candidates import is_reference, reference
from actors.engines.configs import AutoEngineConfig, Device, EngineConfig, Precision
from actors.errors import JobError
from actors.exporting.source_digest import version
from actors.models.fingerprint import weights_digest
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.predictor import Predictor
from jobs.config import to_yaml
from jobs.runs.number_checks import check_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from torch import nn

    from actors.engines.base import Engine
    from actors.models.spec import Model
    from jobs.job import Job


@dataclass(frozen=True)
class Preflight:
    """Facts about a job that passed the checks."""

    fingerprint: str
    """Name of the model's partition of the output."""
    fields: list[pa.Field]
    """Columns of the task."""
    image_s: float
    """Seconds per image of the reference engine on the driver's CPUs."""
    provenance: dict[str, str]
    """Origin recorded in every part and in the manifest: fingerprint, digest of the config, versions."""
    labels: list[str] | None = None
    """Class names, if the model has any."""
    predictor: Predictor | None = field(default=None, compare=False, repr=False)
    """Loaded reference, on one thread of the driver."""
    network: nn.Module | None = field(default=None, compare=False, repr=False)
    """Network that ``predictor`` runs; None if the model has none."""

    @property
    def reference_engine(self) -> Engine | None:
        """The engine of ``predictor``, if its answers count as right."""
        is_right = self.predictor and is_reference(self.predictor.recipe.engine, self.predictor.model)
        return self.predictor.engine if self.predictor and is_right else None


def preflight(job: Job, *, before_loading: Callable[[], None] | None = None) -> Preflight:
    """Checks dataset, model, engine, task and columns together.

    Args:
        job: the job.
        before_loading: called after the checks that take no time, before the model is loaded, which takes seconds.

    Raises:
        JobError: the first problem found.
    """
    check_numbers(job)
    job.cluster.check()
    job.dataset.check()
    recipe = job.recipe
    recipe.check()
    if before_loading is not None:
        before_loading()
    network = build_network(recipe.model) if form_of(recipe.model).has_network else None
    digest = weights_digest(recipe.model, network)  # before the engine converts the weights
    predictor = Predictor(replace(recipe, engine=_on_driver(recipe.engine, recipe.model)), network=network)
    _check_columns(job, predictor.fields)
    fingerprint = _fingerprint(job, digest, predictor.labels)
    dataset = job.dataset.identity()
    return Preflight(
        fingerprint=fingerprint,
        fields=predictor.fields,
        image_s=_image_s(predictor),
        labels=predictor.labels,
        predictor=predictor,
        network=network,
        provenance={
            "fingerprint": fingerprint,
            "dataset_digest": _digest(dataset),
            "columns_digest": _digest({key: value for key, value in dataset.items() if key in _COLUMNS}),
            "config_digest": _digest(to_yaml(job)),
            **{f"version_{name}": installed for name in _LIBRARIES if (installed := version(name))},
            "version_python": platform.python_version(),
        },
    )


# Dataset settings that decide the columns of a row, as opposed to which images there are.
_COLUMNS = {"kind", "image_column", "uri_column", "id_column", "label_column", "keep_columns", "folder_labels"}


def _on_driver(engine: EngineConfig, model: Model) -> EngineConfig:
    """Engine for one thread of the CPU, without compilation: the driver need not have the devices of the workers."""
    if engine.name == form_of(model).engines[0]:
        return replace(engine.on_cpu(), threads=1)
    return reference(EngineConfig(device=Device.cpu, threads=1), model)


def _image_s(predictor: Predictor) -> float:
    """Seconds of one CPU thread for an image: the least of several calls, as the first ones are up to 100 times slower.

    Other processes only ever add to it. Ends after `_TIMED_S`, so that a large network runs once.
    """
    image_nhwc = np.zeros((1, *predictor.model.preprocess.size, 3), np.uint8)
    predictor.engine(image_nhwc)
    least_s, ends_at = math.inf, time.perf_counter() + _TIMED_S
    while least_s == math.inf or time.perf_counter() < ends_at:
        started = time.perf_counter()
        predictor.engine(image_nhwc)
        least_s = min(least_s, time.perf_counter() - started)
    return least_s


_TIMED_S = 0.1  # enough for 200 calls of the sample's network, or three of a ResNet-18


def _check_columns(job: Job, fields: list[pa.Field]) -> None:
    names = [field.name for field in fields]
    taken = {IMAGE_ID, URI, TARGET, *PARTITIONS, *(field.name for field in ERROR_FIELDS)}
    for name in names:
        if name.lower() in taken or name.startswith("_"):  # SQL engines ignore case
            raise JobError(
                f"task={job.task.name}: the model's output {name} has a reserved name",
                cure="rename that output in the model, or choose task=classify or task=embed with task.output, whose "
                "column names are fixed",
            )
    for name in job.dataset.kept_columns():
        if name in names:
            raise JobError(
                f"dataset.keep_columns={name}: the task has a column of that name",
                cure="rename the column in the dataset, or omit it from dataset.keep_columns",
            )


def _fingerprint(job: Job, weights: str, labels: list[str] | None) -> str:
    """Digest of everything except the image that decides the content of a row: weights, architecture, pre-processing,
    labels, task and precision. Starts with a letter, so that no reader parses the partition as a number.
    """
    content = {
        "weights": weights,
        "architecture": job.model.architecture,
        "kwargs": job.model.kwargs,
        "preprocess": asdict(job.model.preprocess),
        "scaled": job.decode.scaled,
        **({"truncated": "accept"} if job.decode.truncated is Truncated.accept else {}),
        **_decoded_on(job.decode),
        "labels": labels,
        "task": asdict(job.task),
        "precision": _precision(job.engine),
    }
    return f"m{_digest(content)[:15]}"


def _decoded_on(decode: Decode) -> dict[str, str]:
    """Decoder for the fingerprint, as pixels from a GPU differ slightly; empty if only the CPU can decode."""
    if decode.device is DecodeDevice.cpu or not has_nvimgcodec():
        return {}
    return {"decode": decode.device.value}


def _precision(engine: EngineConfig) -> str:
    """Precision of the config. With ``auto`` it includes the tolerance, as precisions may differ between machines."""
    if engine.precision is not Precision.auto:
        return str(engine.precision.value)
    return f"auto {engine.tolerance}" if isinstance(engine, AutoEngineConfig) else Precision.fp32.value


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()


_LIBRARIES = (
    "shardlens",
    "ray",
    "torch",
    "onnxruntime-gpu",
    "onnxruntime",
    "pyarrow",
    "pillow",
    "simplejpeg",
    "cykooz.resizer",
    "numpy",
)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else str(value)
