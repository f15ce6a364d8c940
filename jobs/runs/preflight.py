"""Checks that reject a wrong job within seconds: the complete recipe is built and run on one blank image. Runs on the
driver, before any actor starts.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.columns import ERROR_FIELDS, IMAGE_ID, PARTITIONS, TARGET, URI
from actors.decoding.config import Decode, DecodeDevice, Truncated, has_nvimgcodec
from actors.engines.candidates import reference
from actors.engines.configs import AutoEngineConfig, Device, EngineConfig, Precision
from actors.errors import JobError
from actors.exporting.source_digest import version
from actors.models.fingerprint import weights_digest
from actors.models.forms import form_of
from actors.predictor import Predictor
from jobs.config import to_yaml
from jobs.runs.number_checks import check_numbers

if TYPE_CHECKING:
    import pyarrow as pa

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


def preflight(job: Job) -> Preflight:
    """Checks dataset, model, engine, task and columns together.

    Raises:
        JobError: the first problem found.
    """
    check_numbers(job)
    job.cluster.check()
    job.dataset.check()
    recipe = job.recipe
    recipe.check()
    predictor = Predictor(replace(recipe, engine=_on_driver(recipe.engine, recipe.model)))
    _check_columns(job, predictor.fields)
    fingerprint = _fingerprint(job, predictor)
    dataset = job.dataset.identity()
    return Preflight(
        fingerprint=fingerprint,
        fields=predictor.fields,
        image_s=_image_s(predictor),
        labels=predictor.labels,
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
    """Engine for the CPU without compilation: the driver's machine need not have the devices of the workers."""
    if engine.name == form_of(model).engines[0]:
        return engine.on_cpu()
    return reference(EngineConfig(device=Device.cpu, threads=engine.threads), model)


def _image_s(predictor: Predictor) -> float:
    """Seconds for one image, once the engine is warm."""
    started = time.perf_counter()
    predictor.engine(np.zeros((1, *predictor.model.preprocess.size, 3), np.uint8))
    return time.perf_counter() - started


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


def _fingerprint(job: Job, predictor: Predictor) -> str:
    """Digest of everything except the image that decides the content of a row: weights, architecture, pre-processing,
    labels, task and precision. Starts with a letter, so that no reader parses the partition as a number.
    """
    content = {
        "weights": weights_digest(job.model),
        "architecture": job.model.architecture,
        "kwargs": job.model.kwargs,
        "preprocess": asdict(job.model.preprocess),
        "scaled": job.decode.scaled,
        **({"truncated": "accept"} if job.decode.truncated is Truncated.accept else {}),
        **_decoded_on(job.decode),
        "labels": predictor.labels,
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
