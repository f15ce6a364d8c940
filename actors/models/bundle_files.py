"""Reads the record of a bundle, a folder with one model in several forms, and checks its files against their digests.
Runs on the driver; imports no engine's library.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import redacted
from actors.models.model_files import reading
from actors.storage.uris import join

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.storage.store import Storage

RECORD = "bundle.json"
VERSION = 1
ENGINES = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "safetensors": ("torch", "onnxruntime", "openvino"),
    "pt2": ("torch",),
}
"""Form names, each with the engines that run the form."""
MAIN_FILES = {
    "onnx": "model.onnx",
    "openvino": "openvino/model.xml",
    "safetensors": "model.safetensors",
    "pt2": "model.pt2",
}


@dataclass(frozen=True)
class FileDigest:
    """One file of a bundle."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class FormRecord:
    """A form that the bundle has."""

    files: Mapping[str, FileDigest]
    """By path below the bundle."""
    precision: str
    """``fp32``, ``fp16``, ``bf16`` or ``int8``."""
    postprocess: str
    """``none``, ``softmax``, ``topk`` or ``nms``: the last post-processing step in the graph."""
    normalises: bool
    """True if it accepts uint8 pixels (n, height, width, 3) and normalises them; otherwise it accepts normalised float
    (n, 3, h, w).
    """
    inputs: list[dict[str, Any]]
    """Name, dtype and shape of each input; null in a shape is the number of images. Empty for a user's own graph."""
    outputs: list[dict[str, Any]]
    """The same for each output."""


@dataclass(frozen=True)
class Bundle:
    """The content of `RECORD`."""

    folder: str
    forms: Mapping[str, FormRecord]
    architecture: str | None
    """As in `actors.models.spec.Model`; None if the model was a whole graph."""
    kwargs: dict[str, Any]
    preprocess: dict[str, Any]
    """Fields of `actors.preprocess.Preprocess`, enums as text."""
    labels: str | None
    """Path of the label file below the bundle."""
    task: dict[str, Any]
    """Fields of the task for which the forms were compared."""
    tolerance: dict[str, float]
    fingerprint: str
    """Model fingerprint in fp32: two bundles with the same one hold the same model."""
    files: Mapping[str, FileDigest]
    """Everything except the forms and `RECORD` itself."""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    """SHA-256 of `RECORD`, which pins every file; empty until it is read."""

    def uri(self, name: str) -> str:
        return join(self.folder, name)

    def to_json(self) -> dict[str, Any]:
        content = {name: value for name, value in vars(self).items() if name not in ("folder", "digest")}
        forms = {name: {**vars(form), "files": _plain(form.files)} for name, form in self.forms.items()}
        return {"format": _FORMAT, "version": VERSION, **content, "forms": forms, "files": _plain(self.files)}


def read_bundle(folder: str, storage: Storage, key: str = "model.source") -> Bundle | None:
    """Returns the bundle in ``folder``, or None if there is no `RECORD`. Reads no other file.

    Args:
        folder: path or URI.
        storage: gives access to ``folder``.
        key: config key of the folder, for messages.

    Raises:
        JobError: the record is damaged, or its version is not supported.
    """
    where = redacted(f"{key}={folder}")
    uri = join(folder, RECORD)
    try:
        data = storage.read(uri, max_bytes=_MAX_RECORD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = json.loads(data)
        if content.pop("format") != _FORMAT:
            return None  # a file of that name from another tool
        version = content.pop("version")
        if version == VERSION:
            return _parsed(folder, content, hashlib.sha256(data).hexdigest())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise JobError(f"{where}: its {RECORD} is damaged: {error!r}", fix=_COPY) from None
    raise JobError(
        f"{where}: a bundle of version {version}, and this shardlens reads version {VERSION}",
        fix="update shardlens, or export the model again",
    )


def check_files(bundle: Bundle, storage: Storage, key: str = "model.source") -> None:
    """Raises `JobError` if a file of ``bundle`` is missing or does not match its digest in `RECORD`."""
    forms = {name: digest for form in bundle.forms.values() for name, digest in form.files.items()}
    for name, wanted in sorted({**forms, **bundle.files}.items()):
        where = redacted(f"{key}={bundle.folder}")
        with reading(f"{where}: {name}"), storage.open(bundle.uri(name)) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BufferedReader
        if found != wanted.sha256:
            raise JobError(
                f"{where}: {name} is not the file that was exported: its SHA-256 is {found}, and {RECORD} says "
                f"{wanted.sha256}",
                fix=_COPY,
            )


_FORMAT = "shardlens-bundle"
_MAX_RECORD_BYTES = 16 << 20
_COPY = "copy the whole folder again, or export the model again"


def _parsed(folder: str, content: dict[str, Any], digest: str) -> Bundle:
    forms = {
        name: FormRecord(**{**form, "files": _digests(form["files"])}) for name, form in content.pop("forms").items()
    }
    unknown = sorted(forms.keys() - ENGINES)
    names = [*content["files"], *(name for form in forms.values() for name in form.files)]
    outside = [name for name in names if not _is_inside(name)]
    if unknown or outside or not forms:
        raise ValueError(f"unknown form {unknown[0]}" if unknown else f"files outside of it: {outside[:1]}")
    files = _digests(content.pop("files"))
    return Bundle(folder, forms, **content, files=files, digest=digest)


def _is_inside(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/") and not set(name) & set("\\:\0")


def _digests(files: dict[str, Any]) -> dict[str, FileDigest]:
    return {name: FileDigest(str(one["sha256"]), int(one["bytes"])) for name, one in files.items()}


def _plain(files: Mapping[str, FileDigest]) -> dict[str, dict[str, Any]]:
    return {name: vars(one) for name, one in sorted(files.items())}
