"""Exports a network to a graph once per node, and finds it again without PyTorch, whose import takes seconds. Runs in
each worker whose engine reads graphs.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING

from actors.disk_cache import keep
from actors.exporting.source_digest import architecture_source, loaded_sources, source_digest, version
from actors.models.forms import form_of
from actors.models.hub_files import on_this_machine
from actors.models.model_files import base_name, reading
from actors.models.node_copies import missing_file
from actors.storage.store import Storage
from actors.storage.uris import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from actors.models.spec import Model


def exported(model: Model, *, half: bool = False, network: nn.Module | None = None) -> Path:
    """Returns the .onnx file that `actors.exporting.onnx_export.export` writes for ``model``, which has a network.

    The file is reused until one of its inputs changes: the weights, the model config, library versions, or the
    network's code. That code is the architecture's module and the modules it imported, except installed packages of
    another name; other files that they read do not count.

    Args:
        model: the model to run.
        half: computes in fp16.
        network: the result of `build_network` for ``model``, if already built; changed by ``half``.

    Raises:
        JobError: the checkpoint cannot be read, the network cannot be built or exported, or the file cannot be kept.
    """
    folder = keep(model_key(model, half=half), partial(_make, model, half=half, network=network), is_current)
    return folder / _FILE


def export_folder(model: Model, code: str, library: str, make: Callable[[Path], object]) -> Path:
    """Returns the folder that ``make`` fills with another export of ``model``. Reused, and raises, like `exported`.

    Args:
        model: the model to run.
        code: name of the module that makes the export.
        library: name of the library that does, of which the version counts.
        make: fills the folder that it is given.
    """
    parts = (model_key(model), source_digest(code), version(library))
    return keep(hashlib.sha256(repr(parts).encode()).hexdigest(), partial(_fill, model, make), is_current)


_FILE, _SOURCES = "model.onnx", "sources.json"
# Libraries count by version; our own code also by content, which can change in a checkout without the version.
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnx-ir", "shardlens")
_CODE = (
    "actors.exporting.onnx_export",
    "actors.models.outputs",
    "actors.models.pixel_input",
    "actors.models.transformers_networks",
    "actors.preprocess.normalisation",
)


def model_key(model: Model, *, half: bool = False) -> str:
    """Returns the hexadecimal SHA-256 of all export inputs that are known without building the network."""
    parts = (
        _content(model),
        model.sha256,
        model.architecture,
        model.kwargs,
        model.ema,
        model.prefix,
        model.ignore,
        model.preprocess,
        half,
        architecture_source(str(model.architecture)),
        [source_digest(module) for module in _CODE],
        [(library, version(library)) for library in _LIBRARIES],
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _content(model: Model) -> str:
    """Identifies the content of the weights by digest, or for remote files by the server's size and version."""
    storage = Storage(model.storage_options)
    with reading(model.where):
        return " ".join(_file_content(uri, storage, model) for uri in form_of(model).files(model))


def _file_content(uri: str, storage: Storage, model: Model) -> str:
    try:
        return _content_of(on_this_machine(uri), storage)
    except FileNotFoundError:
        if uri == model.checkpoint:
            raise
        raise missing_file(model, "file", base_name(uri)) from None


def _content_of(uri: str, storage: Storage) -> str:
    if is_remote(uri):
        size, known_as = storage.describe(uri)
        if known_as is not None:
            return f"{uri} {size} {known_as}"
    with storage.open(uri) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BufferedReader


def _make(model: Model, folder: Path, *, half: bool, network: nn.Module | None) -> None:
    from actors.exporting.onnx_export import export  # noqa: PLC0415  imports PyTorch

    export(model, folder / _FILE, half=half, network=network)
    write_sources(folder, model)


def _fill(model: Model, make: Callable[[Path], object], folder: Path) -> None:
    make(folder)
    write_sources(folder, model)


def write_sources(folder: Path, model: Model) -> None:
    """Records in ``folder`` the code that the network was built from."""
    (folder / _SOURCES).write_text(json.dumps(loaded_sources(str(model.architecture))))


def is_current(folder: Path) -> bool:
    """Returns True if that code is unchanged."""
    sources = json.loads((folder / _SOURCES).read_bytes())
    # The modules that the network imports are known only after a build, so they cannot be part of the key.
    return all(source_digest(name) == digest for name, digest in sources.items())
