"""Reads checkpoints: a torch.save or safetensors file, or the shards of a large checkpoint. Never unpickles anything
but tensors and plain values.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import stat
import struct
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.models.archives import read_kind
from actors.models.hub_files import on_this_machine
from actors.models.model_files import file_name, lfs_pointer, reading, sibling
from actors.models.state_dicts import RESAVE_FIX, StateDict
from actors.models.weight_index import INDEX_FIX, is_index, read_index
from actors.storage.uris import is_remote, local_path

if TYPE_CHECKING:
    from actors.storage.store import Storage


def read_weights(uri: str, storage: Storage, *, shown: str | None = None) -> object:
    """Reads the content of a checkpoint to the CPU; tensors from a local file may share its memory map.

    Args:
        uri: a torch.save or safetensors (``.safetensors``) file, or the index of shards.
        storage: reads remote files.
        shown: the URI to name in messages, if ``uri`` is a copy.

    Raises:
        JobError: a file is missing or broken, or holds more than tensors and plain values.
    """
    where = redacted(f"model.checkpoint={shown or uri}")
    if not is_index(uri):
        return _read_file(uri, storage, where)
    gathered = StateDict()
    index = read_index(uri, storage)
    for shard in sorted(set(index.values())):
        content = _read_file(sibling(uri, shard), storage, redacted(f"model.checkpoint={sibling(shown or uri, shard)}"))
        if not isinstance(content, dict):
            raise JobError(f"{where}: its shard {shard} does not hold a state_dict", fix=INDEX_FIX)
        gathered.update(content)
    missing = sorted(index.keys() - gathered.keys())
    if missing:
        raise JobError(
            f"{where}: its shard {index[missing[0]]} lacks {missing[0]}, one of {len(missing)} such entries",
            fix=INDEX_FIX,
        )
    return gathered


_START_BYTES = 64  # at the start of a file: longer than every known signature
_CODE_FIX = f"set model.architecture=null and pin the file with model.sha256, if you trust it, or {RESAVE_FIX}"
_CODE = re.compile(r"[Uu]nsupported (?:global: GLOBAL|class|GLOBAL):? ([\w.]+)")
_MAX_LISTED = 5  # names in a message
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    safetensors.SafetensorError,
)


def _read_file(uri: str, storage: Storage, where: str) -> Any:
    uri = on_this_machine(uri)
    with reading(where):
        source = io.BytesIO(storage.read(uri)) if is_remote(uri) else _regular_file(uri)
        start = _start(source)
    try:
        return _parse(uri, source, start, where)
    except _UNREADABLE as error:
        if _CODE.search(str(error)):
            raise _holds_code(error, source, where) from error
        raise _unreadable(error, start, where) from error


def _regular_file(uri: str) -> Path:
    path = Path(os.fsdecode(local_path(uri)))
    if not stat.S_ISREG(path.stat().st_mode):  # torch.load would wait for a writer to a named pipe
        raise OSError("not a regular file")
    return path


def _start(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[:_START_BYTES]
    with source.open("rb") as file:
        return file.read(_START_BYTES)


def _parse(uri: str, source: Path | io.BytesIO, start: bytes, where: str) -> object:
    """Returns the content of a file whose first bytes are ``start``."""
    if file_name(uri).endswith(".safetensors"):
        if isinstance(source, Path):
            return safetensors.torch.load_file(source)
        return safetensors.torch.load(source.getvalue())
    if not start.startswith(b"PK"):  # files from before PyTorch 1.6 are not zip archives, and cannot be mapped
        return _parse_torch(source, mmap=False)
    _check_archive(source, where)
    return _parse_torch(source, mmap=isinstance(source, Path))


def _parse_torch(source: Path | io.BytesIO, *, mmap: bool) -> object:
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with warnings.catch_warnings(action="ignore"):  # about other pickle protocols, which may be unreadable
        # weights_only refuses every class that tensors do not need: an ordinary pickle could run code.
        return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)


def _check_archive(source: Path | io.BytesIO, where: str) -> None:
    """Refuses archives that torch would misread, and damage that torch would not detect."""
    if kind := read_kind(source):
        raise JobError(f"{where}: is {kind}, which holds code", fix=_CODE_FIX)


def _holds_code(error: Exception, source: Path | io.BytesIO, where: str) -> JobError:
    """Returns the error for a pickle that names classes, none of which was imported."""
    names = [found[1]] if (found := _CODE.search(str(error))) else []
    with suppress(*_UNREADABLE):  # it lists them only for zip archives
        if isinstance(source, io.BytesIO):
            source.seek(0)
        names += sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(source)) - set(names))
    listed = ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
    return JobError(
        f"{where}: holds more than tensors ({listed}); reading it could run code",
        fix=f"{RESAVE_FIX}; or, if you know these names to be harmless, convert it with "
        "torch.serialization.add_safe_globals and torch.load(weights_only=True), as docs/models.md shows",
    )


def _unreadable(error: Exception, start: bytes, where: str) -> JobError:
    """Returns the error for a file that starts with ``start`` and raised ``error``."""
    if not start:
        return JobError(f"{where}: is empty", fix="copy it again")
    if pointer := lfs_pointer(start, where):
        return pointer
    pickled = re.search(r"WeightsUnpickler error:\s*(\S.*)", str(error))
    seen = pickled[1] if pickled else f"{type(error).__name__}: {one_line(error)}"
    if seen.startswith("Unsupported operand"):
        seen = "its pickle is damaged, or of a protocol that cannot be read safely, such as 4"
    return JobError(f"{where}: is damaged or in another format: {seen}", fix=f"copy it again, or {RESAVE_FIX}")
