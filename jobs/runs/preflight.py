"""The checks that end a wrong job within seconds, on the driver, before any actor starts: the whole recipe is built
and run on one blank image.
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
    """What is known of a job that can run."""

    fingerprint: str
    """Names the model's partition of the output."""
    fields: list[pa.Field]
    """The task's columns."""
    image_s: float
    """Seconds that the driver's CPUs take for one image, by the reference."""
    provenance: dict[str, str]
    """What every part and the manifest say of their origin: fingerprint, digest of the config, versions."""
    labels: list[str] | None = None
    """Names of the classes, where the model has any."""


def preflight(job: Job) -> Preflight:
    """Checks dataset, model, engine, task and columns together.

    Raises:
        JobError: the first thing that is wrong.
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


# What of a dataset decides the columns of a row, and not which images there are.
_COLUMNS = {"kind", "image_column", "uri_column", "id_column", "label_column", "keep_columns", "folder_labels"}


def _on_driver(engine: EngineConfig, model: Model) -> EngineConfig:
    """An engine on the CPU, ready at once: the driver's machine need not have what the workers have."""
    if engine.name == form_of(model).engines[0]:
        return engine.on_cpu()
    return reference(EngineConfig(device=Device.cpu, threads=engine.threads), model)


def _image_s(predictor: Predictor) -> float:
    """Seconds of one image, the first one aside."""
    started = time.perf_counter()
    predictor.engine(np.zeros((1, *predictor.model.preprocess.size, 3), np.uint8))
    return time.perf_counter() - started


def _check_columns(job: Job, fields: list[pa.Field]) -> None:
    names = [field.name for field in fields]
    taken = {IMAGE_ID, URI, TARGET, *PARTITIONS, *(field.name for field in ERROR_FIELDS)}
    for name in names:
        if name.lower() in taken or name.startswith("_"):  # SQL engines take no account of the case
            raise JobError(
                f"task={job.task.name}: the model's output {name} has a reserved name",
                cure="rename that output in the model, or choose task=classify or task=embed with task.output, which "
                "name the columns themselves",
            )
    for name in job.dataset.kept_columns():
        if name in names:
            raise JobError(
                f"dataset.keep_columns={name}: the task gives a column of that name",
                cure="rename the column in the dataset, or do not keep it",
            )


def _fingerprint(job: Job, predictor: Predictor) -> str:
    """Digest of all that decides the content of a row, beside the image: weights, architecture, pre-processing,
    labels, task and precision. It starts with a letter, so that no reader takes the partition for a number.
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
    """What GPUs decode has pixels that differ a little. Only who has installed nvImageCodec leaves auto a choice."""
    if decode.device is DecodeDevice.cpu or not has_nvimgcodec():
        return {}
    return {"decode": decode.device.value}


def _precision(engine: EngineConfig) -> str:
    """As the config has it. Where it leaves the choice, one model may run in another precision on another machine, as
    long as its answers hold the tolerance.
    """
    if engine.precision is not Precision.auto:
        return str(engine.precision.value)
    return f"auto {engine.tolerance}" if isinstance(engine, AutoEngineConfig) else Precision.fp32.value


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=_plain).encode()).hexdigest()


_LIBRARIES = ("shardlens", "ray", "torch", "onnxruntime-gpu", "onnxruntime", "pyarrow", "pillow", "simplejpeg", "numpy")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else str(value)
