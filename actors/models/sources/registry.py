"""The kinds of sources, and the completion of a model from its source. Runs on the driver, and where Python callers
create a model; importing it loads no library.
"""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.hub_files import HUGGING_FACE, if_there, pinned
from actors.models.sources.base import Record, Source
from actors.models.sources.bundle_source import bundle_record
from actors.models.sources.folder_source import FolderSource
from actors.models.sources.library_records import architecture_record
from actors.models.sources.timm_source import TimmSource, imagenet_labels
from actors.models.sources.torchvision_source import TRANSFORMING, TorchvisionSource
from actors.models.spec import Model
from actors.preprocess import Preprocess
from actors.storage.uris import absolute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.models.sources.base import SourceReader

    Keep = Callable[[str, str, Callable[[], Record]], Record]

READERS: tuple[SourceReader, ...] = (TimmSource(), TorchvisionSource(), FolderSource())


def model_from(source: str, **given: Any) -> Model:
    """Returns the model that ``source`` names, like ``model.source`` on the command line. Other fields of `Model`
    override the source; ``preprocess`` is a `Preprocess` or a mapping with some of its fields, and ``kwargs`` are
    merged with the source's.

    Raises:
        JobError: there is no such model, or the source does not say all that is needed.
        UnreachableError: a hub or server does not answer.
    """
    return complete({"source": source, **given})


def complete(given: Mapping[str, Any], keep: Keep = lambda _library, _key, make: make()) -> Model:
    """Completes the ``given`` fields of a model with the values of its source, then with the defaults.

    Without a source, ``timm:NAME`` and ``torchvision:NAME`` use the pre-processing that the library records.

    Args:
        given: fields of `Model`; ``preprocess`` may be a mapping with some of its fields.
        keep: called with the name of a library, a key, and a function that imports the library to make a record, which
            depends only on these two.

    Raises:
        JobError: there is no such model, or the source does not say all that is needed.
        UnreachableError: a hub or server does not answer.
    """
    preprocess = given.get("preprocess", {})
    if isinstance(preprocess, Preprocess):
        preprocess = {field.name: getattr(preprocess, field.name) for field in fields(preprocess)}
    record = _record(given, preprocess, keep)
    completed = {**given, "kwargs": {**_kwargs(record, preprocess), **given.get("kwargs", {})}}
    if record.architecture:
        completed.setdefault("architecture", record.architecture)
    if not _NUMBERS & given.get("kwargs", {}).keys():  # with another number of classes, names mean nothing
        completed.setdefault("labels", record.labels)
    if source := given.get("source"):
        completed["source"] = source if Source(source).library else absolute(source)
    completed["checkpoint"] = _pinned(given.get("checkpoint") or record.checkpoint or "")
    return Model(**completed | {"preprocess": Preprocess(**{**(record.preprocess or {}), **preprocess})})


def read_source(source: Source) -> Record:
    """Returns the record of ``source``. Raises like `SourceReader.read`."""
    if bundle := bundle_record(source):
        return bundle
    return next(reader for reader in READERS if reader.owns(source)).read(source)


_NUMBERS = {"num_classes", "num_labels"}
_DECIDING = ("resize", "crop", "mean", "std")


def _record(given: Mapping[str, Any], preprocess: Mapping[str, Any], keep: Keep) -> Record:
    if not given.get("source"):
        return _record_of_architecture(given, preprocess, keep)
    source = Source(given["source"], given.get("storage_options", {}))
    if source.library in _ZOOS:
        record = keep(source.library, source.text, partial(read_source, source))
    else:
        record = read_source(source)
    if record.labels is None and str(record.architecture).startswith("timm:") and source.library != "timm":
        record.labels = _imagenet_labels(record.kwargs.get("num_classes"), keep)
    if record.preprocess is None:
        _refuse_unprepared(source.where, record, preprocess)
    return record


def _refuse_unprepared(where: str, record: Record, preprocess: Mapping[str, Any]) -> None:
    """Raises `JobError` if keys do not supply the missing pre-processing."""
    unknown = [f"model.preprocess.{key}" for key in _DECIDING if key not in preprocess]
    if unknown:
        raise JobError(
            f"{where}: {record.unexpressed or 'does not say how images are pre-processed'}",
            fix=f"set {', '.join(unknown)}" + ", or add its preprocessor_config.json" * (not record.unexpressed),
        )


def _imagenet_labels(num_classes: int | None, keep: Keep) -> list[str] | None:
    return keep("timm", f"labels of {num_classes} classes", lambda: Record(labels=imagenet_labels(num_classes))).labels


def _record_of_architecture(given: Mapping[str, Any], preprocess: Mapping[str, Any], keep: Keep) -> Record:
    architecture, checkpoint = str(given.get("architecture")), str(given.get("checkpoint", ""))
    library, _, name = architecture.partition(":")
    is_given = preprocess.keys() >= {*_DECIDING, "interpolation"} and name not in TRANSFORMING
    if library not in _ZOOS or not name or is_given:
        return Record()
    file = checkpoint.rpartition("/")[2] if library == "torchvision" else ""
    record = keep(library, f"{architecture} {file}", partial(architecture_record, architecture, checkpoint))
    if record.preprocess is None and library == "timm":  # torchvision has none for some tasks, such as video tasks
        _refuse_unprepared(f"model.architecture={architecture}", record, preprocess)
    return record


_ZOOS = ("timm", "torchvision")


def _kwargs(record: Record, preprocess: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the record's arguments. An argument that converts the normalisation applies only to the record's own."""
    own = record.preprocess or {}
    is_own = all(preprocess.get(key, own.get(key)) == own.get(key) for key in ("mean", "std"))
    return {key: value for key, value in record.kwargs.items() if is_own or key != "transform_input"}


def _pinned(checkpoint: str | tuple[str, ...] | list[str]) -> str:
    if isinstance(checkpoint, str):
        return pinned(checkpoint)
    *tried, last = checkpoint
    found = (uri for uri in tried if uri.startswith(HUGGING_FACE) and if_there(uri))
    return pinned(next(found, last))
