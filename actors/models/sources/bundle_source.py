"""Folders written by `jobs.export`, local or in a store: a model in several forms, each of which runs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.models.bundle_files import MAIN_FILES, RECORD, Bundle, check_files, read_bundle
from actors.models.model_files import reading
from actors.models.sources.base import Record
from actors.preprocess import Preprocess
from actors.storage.store import Storage
from actors.storage.uris import absolute

if TYPE_CHECKING:
    from actors.models.sources.base import Source


def bundle_record(source: Source) -> Record | None:
    """Returns the record of a bundle's `default_form`, until a job chooses by its engine; None if ``source`` is not a
    bundle.

    Raises:
        JobError: the bundle is damaged.
        UnreachableError: a server does not answer.
    """
    bundle = None if source.library else _bundle(source)
    if bundle is None:
        return None
    check_files(bundle, Storage(source.storage_options))
    return record_of(bundle, default_form(bundle), source)


def record_of(bundle: Bundle, form: str, source: Source) -> Record:
    """Returns the model stored as ``form`` in ``bundle``. A graph that normalises needs only the geometry. An
    architecture that is not from a library is omitted: a file must not decide which code runs.
    """
    has_name = form == "safetensors" and is_library(bundle.architecture)
    return Record(
        architecture=bundle.architecture if has_name else None,
        kwargs=safe_kwargs(bundle) if has_name else {},
        checkpoint=bundle.uri(MAIN_FILES[form]),
        labels=_labels(bundle, source),
        preprocess=preprocess_of(bundle, form),
    )


def preprocess_of(bundle: Bundle, form: str) -> dict[str, Any]:
    """Returns all fields of the pre-processing that ``form`` leaves to the pipeline and the engine."""
    whole = Preprocess(**bundle.preprocess)
    return vars(whole.for_pixels() if bundle.forms[form].normalises else whole)


def default_form(bundle: Bundle) -> str:
    """Returns a form that runs without external code, if there is one."""
    return next(form for form in ("onnx", "openvino", "safetensors", "pt2") if form in bundle.forms)


def is_library(architecture: str | None) -> bool:
    """Returns True for a library architecture, whose name can only refer to the library's own networks."""
    return (architecture or "").partition(":")[0] in ("timm", "torchvision", "transformers")


def safe_kwargs(bundle: Bundle) -> dict[str, Any]:
    """Returns the arguments of the architecture, except those that make a library fetch or read other weights."""
    return {key: value for key, value in bundle.kwargs.items() if key not in _FETCHING}


_FETCHING = (
    "cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "weights",
    "weights_backbone",
)  # fmt: skip


def _bundle(source: Source) -> Bundle | None:
    with reading(f"{source.where}: {RECORD}"):
        return read_bundle(absolute(source.name), Storage(source.storage_options))


def _labels(bundle: Bundle, source: Source) -> list[str] | None:
    if bundle.labels is None:
        return None
    data = Storage(source.storage_options).read(bundle.uri(bundle.labels))
    return data.decode().rstrip("\n").split("\n")
