"""Writes the files of a bundle other than its forms: record, configs of other libraries, labels, golden images, model
card. Runs on the driver of an export.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.engines.hardware import hardware
from actors.exporting.golden import Golden, choose_golden, write_golden
from actors.exporting.hub_configs import hub_configs
from actors.exporting.model_card import model_card
from actors.exporting.postprocess import DETECTIONS
from actors.exporting.source_digest import version
from actors.models.bundle_files import RECORD, Bundle, FileDigest, FormRecord
from actors.models.forms import form_of
from actors.tasks.base import Outputs
from jobs.bundling.table import NUM_TEXTS, table_of
from jobs.cli.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from jobs.bundling.config import ExportJob
    from jobs.bundling.forms import WrittenForm
    from jobs.bundling.parity import FormParity, Proof
    from jobs.runs.preflight import Preflight


def metadata_of(job: ExportJob, checked: Preflight) -> dict[str, str]:
    """Returns the metadata embedded in graphs: task, labels and pre-processing as JSON, and the fingerprint."""
    return {
        "task": json.dumps(_values(job.task)),
        "labels": json.dumps(checked.labels),
        "preprocess": json.dumps(_values(job.model.preprocess)),
        "fingerprint": checked.fingerprint,
    }


@dataclass(frozen=True)
class Contents:
    """Facts of an export that its bundle records."""

    job: ExportJob
    checked: Preflight
    proof: Proof
    rows: Sequence[FormParity]
    """Outcomes of all requested forms."""

    def write(
        self, folder: Path, passed: Sequence[tuple[WrittenForm, FormParity]], network: nn.Module | None, uri: str
    ) -> None:
        """Completes ``folder``, which has the forms that ``passed``; ``uri`` is its future location."""
        (folder / "parity.json").write_text(_json([row.to_json() for row in self.rows]))
        labels = self.checked.labels
        if labels:
            (folder / _LABELS).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        for name, content in hub_configs(self.job.model, network, labels).items():
            (folder / name).write_text(_json(content), encoding="utf-8")
        write_golden(folder, self._golden())
        bundle = self._record(folder, passed)
        name = uri.rstrip("/").rpartition("/")[2] or "model"
        table = table_of([row for _, row in passed], with_rates=False)
        card = model_card(bundle, name, aligned(table, num_texts=NUM_TEXTS))
        (folder / _CARD).write_text(card, encoding="utf-8")
        # The card is the only file without a digest, because users edit it.
        (folder / RECORD).write_text(_json(bundle.to_json()), encoding="utf-8")

    def _golden(self) -> Golden:
        images, outputs = self.proof.images, self.proof.reference.outputs
        places = choose_golden([len(image) for image in images.encoded], self._with_boxes())
        read = self.proof.task.output_names(Outputs.of(outputs))
        return Golden(
            [images.encoded[place] for place in places],
            [images.names[place].rpartition("/")[2] for place in places],
            {name: outputs[name][places] for name in read},
        )

    def _with_boxes(self) -> list[int]:
        """Returns images that have boxes after suppression: without any, there is nothing to compare."""
        found = self.proof.steps.of(self.proof.reference.outputs).get(DETECTIONS)
        return [] if found is None else np.flatnonzero(found[:, 0, 4] > 0).tolist()

    def _record(self, folder: Path, passed: Sequence[tuple[WrittenForm, FormParity]]) -> Bundle:
        digests = {
            path.relative_to(folder).as_posix(): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()
        }
        forms = {form.name: self._form(form, row, digests) for form, row in passed}
        taken = {name for form in forms.values() for name in form.files}
        model = self.job.model
        return Bundle(
            folder="",
            forms=forms,
            architecture=model.architecture,
            kwargs=model.kwargs,
            preprocess=_values(model.preprocess),
            labels=_LABELS if self.checked.labels else None,
            task=_values(self.job.task),
            tolerance=asdict(self.proof.tolerance),
            fingerprint=self.checked.fingerprint,
            files={name: digest for name, digest in digests.items() if name not in taken},
            versions={"python": platform.python_version(), **{name: v for name in _LIBRARIES if (v := version(name))}},
            hardware=asdict(hardware(with_gpu=False)),
        )

    def _form(self, form: WrittenForm, row: FormParity, digests: dict[str, FileDigest]) -> FormRecord:
        height, width = self.job.model.preprocess.size
        if form.normalises:
            taken = [{"name": "pixels_nhwc", "dtype": "uint8", "shape": [None, height, width, 3]}]
        elif form_of(self.job.model).has_network:
            taken = [{"name": "pixels", "dtype": "float32", "shape": [None, *self.job.model.preprocess.input_shape]}]
        else:  # a user's graph declares its own inputs
            taken = []
        files = {name: digests[name] for name in form.files}
        return FormRecord(files, form.precision, form.postprocess, form.normalises, taken, row.outputs)


_LABELS, _CARD = "labels.txt", "README.md"
_LIBRARIES = (
    "shardlens", "torch", "onnx", "onnxruntime-gpu", "onnxruntime", "openvino", "safetensors", "timm", "transformers",
    "numpy", "pillow",
)  # fmt: skip


def _digest(path: Path) -> FileDigest:
    with path.open("rb") as file:
        return FileDigest(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _values(config: Any) -> dict[str, Any]:
    """Returns the fields of a config dataclass and of nested ones, enums as their values."""
    return asdict(config, dict_factory=lambda pairs: {name: _value(value) for name, value in pairs})


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
