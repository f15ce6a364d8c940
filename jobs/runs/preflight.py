"""Checks that reject a wrong job within seconds: the complete recipe is built and run on one blank image. Runs on the
driver, before any actor starts.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from actors.columns import ERROR_FIELDS, IMAGE_ID, PARTITIONS, TARGET, URI
from actors.decoding.config import Decode, DecodeDevice, Truncated, has_nvimgcodec
from actors.engines.configs import AutoEngineConfig, EngineConfig, Precision
from actors.errors import JobError
from actors.exporting.source_digest import version
from jobs.config import to_yaml
from jobs.runs.model_check import ModelFacts, check_model
from jobs.runs.number_checks import check_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from torch import nn

    from actors.engines.base import Engine
    from jobs.job import Job
    from jobs.runs.model_check import LoadedModel


@dataclass(frozen=True)
class Preflight:
    """Facts about a job that passed the checks."""

    fingerprint: str
    """Name of the model's partition of the output."""
    fields: list[pa.Field]
    """Columns of the task."""
    image_s: float
    """Seconds per image of the reference engine on one thread of the driver's CPU."""
    provenance: dict[str, str]
    """Origin recorded in every part and in the manifest: fingerprint, digest of the config, versions."""
    labels: list[str] | None = None
    """Class names, if the model has any."""
    one_by_one: str = ""
    """The reason why each image has to run alone, if there is one."""
    loaded: LoadedModel | None = field(default=None, compare=False, repr=False)
    """The model as this check loaded it, until the engine is chosen; None if an earlier command has checked it."""

    @property
    def reference_engine(self) -> Engine | None:
        """The loaded reference engine, on one thread."""
        return self.loaded.reference_engine if self.loaded else None

    @property
    def network(self) -> nn.Module | None:
        """The loaded network."""
        return self.loaded.network if self.loaded else None


def preflight(job: Job, *, before_loading: Callable[[], object] = object) -> Preflight:
    """Checks dataset, model, engine, task and columns together.

    Args:
        job: the job.
        before_loading: called after the checks that take no time, before the model is loaded, which takes seconds.
            Not called where an earlier command on this node has checked the same model.

    Raises:
        JobError: the first problem found.
    """
    check_numbers(job)
    job.cluster.check()
    job.dataset.check()
    recipe = job.recipe
    recipe.check()
    recipe.task.prepare(recipe.model)
    facts, loaded = check_model(recipe, before_loading)
    _check_columns(job, facts.fields)
    fingerprint = _fingerprint(job, facts)
    dataset = job.dataset.identity()
    return Preflight(
        fingerprint=fingerprint,
        fields=facts.fields,
        image_s=facts.image_s,
        labels=facts.labels,
        one_by_one=facts.one_by_one,
        loaded=loaded,
        provenance={
            "fingerprint": fingerprint,
            "dataset_digest": _digest(dataset),
            "columns_digest": _digest({key: value for key, value in dataset.items() if key in _COLUMNS}),
            "config_digest": _digest(to_yaml(job)),
            **{f"version_{name}": installed for name in _LIBRARIES if (installed := version(name))},
            "version_python": platform.python_version(),
        },
    )


def model_fingerprint(job: Job) -> str:
    """Fingerprint that the job would have, of which the dataset is no part. Loads the model, unless a command on this
    node has checked it.

    Raises:
        JobError: the model does not run.
    """
    facts, _ = check_model(job.recipe, object)
    return _fingerprint(job, facts)


# Dataset settings that decide the columns of a row, as opposed to which images there are.
_COLUMNS = {"kind", "image_column", "uri_column", "id_column", "label_column", "keep_columns", "folder_labels"}


def _check_columns(job: Job, fields: list[pa.Field]) -> None:
    names = [field.name for field in fields]
    taken = {IMAGE_ID, URI, TARGET, *PARTITIONS, *(field.name for field in ERROR_FIELDS)}
    for name in names:
        if name.lower() in taken or name.startswith("_"):  # SQL engines ignore case
            raise JobError(
                f"task={job.task.name}: the model's output {name} has a reserved name",
                fix="rename that output in the model, or the column in task.names, or choose task=classify or "
                "task=embed with task.output, whose column names are fixed",
            )
    for name in job.dataset.kept_columns():
        if name in names:
            raise JobError(
                f"dataset.keep_columns={name}: the task has a column of that name",
                fix="rename the column in the dataset, or omit it from dataset.keep_columns",
            )


def _fingerprint(job: Job, facts: ModelFacts) -> str:
    """Digest of everything except the image that decides the content of a row: weights, architecture, pre-processing,
    labels, task and precision. Starts with a letter, so that no reader parses the partition as a number.
    """
    content = {
        "weights": facts.weights,
        "architecture": job.model.architecture,
        "kwargs": job.model.kwargs,
        "preprocess": job.model.preprocess.digested(),
        "scaled": job.decode.scaled,
        **({"truncated": "accept"} if job.decode.truncated is Truncated.accept else {}),
        **_decoded_on(job.decode),
        "labels": facts.labels,
        "task": job.task.identity(),
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
