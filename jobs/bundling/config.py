"""Config of `python -m jobs.export`, which extends that of a job."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from actors.engines.tolerance import EXACT, Tolerance, to_tolerance
from actors.errors import JobError
from actors.models.bundle_files import ENGINES
from jobs.job import Job


class FormPrecision(StrEnum):
    """Number format of the exported forms."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


class PostSteps(StrEnum):
    """Steps after the network that become part of the exported graphs."""

    none = "none"
    softmax = "softmax"
    """The scores of all classes, from task.activation."""
    topk = "topk"
    """The task.top_k best classes and their scores."""
    nms = "nms"
    """The boxes of a YOLO network after non-maximum suppression, with the keys of task=detect."""


@dataclass
class Export:
    """The bundle to write, and the proof that each form reproduces the model's answers."""

    path: str = "???"
    """Folder or URI prefix of the bundle. An existing bundle of the same model is replaced."""
    formats: list[str] = field(default_factory=lambda: ["onnx", "openvino", "safetensors"])
    """Forms of the bundle: any of onnx, openvino, pt2 and safetensors."""
    precision: FormPrecision = FormPrecision.fp32
    """Number format of the weights; model.onnx also computes in it. int8 quantises the graphs on images of the dataset;
    the safetensors weights then stay in fp32."""
    postprocess: PostSteps = PostSteps.none
    """Steps after the network that become part of the graphs: none, softmax, topk or nms."""
    separate_weights: bool = False
    """Write the weights of model.onnx to a separate file, model.onnx.data."""
    images: int = 64
    """Number of images of the dataset on which each form is compared; int8 is quantised on 128 more."""
    tolerance: Any = "auto"
    """Limits on the distance from the model's own answers: exact, or the fields of engine.tolerance; auto is exact for
    fp32, and the defaults of engine.tolerance for the other precisions."""
    overwrite: bool = False
    """Replace the bundle of another model at `path`."""

    def check(self) -> None:
        """Raises `JobError` if a value is out of range."""
        unknown = [name for name in self.formats if name not in ENGINES]
        if unknown or not self.formats:
            raise JobError(
                f"export.formats={self.formats}: {f'{unknown[0]} is no form' if unknown else 'names no form'}",
                fix=f"give some of {', '.join(ENGINES)}",
            )
        if self.images < 1:
            raise JobError(f"export.images={self.images}: must be at least 1", fix="omit it, or try 64")
        _ = self.limits

    @property
    def limits(self) -> Tolerance:
        """Converts `tolerance` to a typed config. Raises `JobError` if it is invalid."""
        if self.tolerance == "auto":
            return EXACT if self.precision is FormPrecision.fp32 else Tolerance()
        if not isinstance(self.tolerance, dict):
            return to_tolerance(self.tolerance, key="export.tolerance")
        names = [limit.name for limit in fields(Tolerance)]
        unknown = [name for name in self.tolerance if name not in names]
        if unknown:
            raise JobError(
                f"export.tolerance.{unknown[0]}: there is no such limit", fix=f"the limits are {', '.join(names)}"
            )
        return to_tolerance(Tolerance(**self.tolerance), key="export.tolerance")


@dataclass
class ExportJob(Job):
    """Config of `python -m jobs.export`: a job, whose dataset provides the images, and the export of its model."""

    export: Export = field(default_factory=Export)
