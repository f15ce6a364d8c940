"""Weights out of the files that training wrote, into a network, strictly. Runs on the driver and once in each
worker. Nothing but tensors is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.models import file_name, reading
from actors.storage import Storage
from actors.uris import is_remote, local_path
from actors.wrappings import RESAVE_CURE, StateDict, rename, unwrap

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from actors.models import Model


def load(network: object, model: Model) -> None:
    """Loads the weights of ``model`` into what its architecture gave.

    Raises:
        JobError: ``network`` is none, the checkpoint cannot be read, or the two do not fit.
    """
    if not isinstance(network, torch.nn.Module):
        raise JobError(
            f"model.architecture={model.architecture}: gives a {type(network).__name__}, no torch.nn.Module",
            cure="name a class or a function that returns the network",
        )
    state_dict = read_state_dict(
        model.checkpoint,
        storage=Storage(model.storage_options),
        ema=model.ema,
        expected=_tensors_of(network).keys(),
    )
    load_strictly(network, state_dict, where=model.where)


def read_state_dict(
    uri: str, *, storage: Storage, ema: bool = False, expected: Collection[str] | None = None
) -> StateDict:
    """The tensors of a checkpoint by name, on the CPU; those of a local file may share its memory map.

    Args:
        uri: a file of torch.save or of safetensors (``.safetensors``), local or remote.
        storage: reads remote files.
        ema: take the averaged weights beside the last ones.
        expected: the network's own names. Prefixes of wrappers are undone towards them; without, names stay.

    Raises:
        JobError: the file is not there, broken, holds more than tensors, or no weights.
    """
    where = redacted(f"model.checkpoint={uri}")
    with reading(where):
        source = io.BytesIO(storage.read(uri)) if is_remote(uri) else _regular_file(uri)
        start = _start(source)
    try:
        content = _parse(uri, source, start)
    except _UNREADABLE as error:
        raise _unreadable(error, start, where) from error
    state_dict = unwrap(content, ema=ema, where=where)
    return state_dict if expected is None else rename(state_dict, expected)


def load_strictly(network: torch.nn.Module, state_dict: StateDict, *, where: str) -> None:
    """Copies ``state_dict`` into ``network``, every entry of the one into its entry of the other.

    Raises:
        JobError: entries are missing, unexpected, or of the wrong shape or kind of number; all are reported at once.
    """
    own = _tensors_of(network)
    misfits = {name: tensor for name, tensor in state_dict.items() if name in own and not _fits(tensor, own[name])}
    fitting = {name: tensor for name, tensor in state_dict.items() if name not in misfits}
    try:
        # Loading lets modules map old names to new ones, so its word counts, not a comparison of names.
        missing, unexpected = network.load_state_dict(fitting, strict=False)
    except (RuntimeError, TypeError, ValueError) as error:
        raise JobError(f"{where}: does not load: {' '.join(str(error).split())[:500]}", cure=_FIT_CURE) from error
    problems = {
        "missing": [name for name in missing if name not in misfits],
        "unexpected": unexpected,
        "wrong shape": [f"{name} is {_compared(misfit, own[name])}" for name, misfit in misfits.items()],
    }
    if any(problems.values()):
        listed = "; ".join(f"{problem}: {_some(names)}" for problem, names in problems.items() if names)
        raise JobError(f"{where}: does not fit the network. {listed}", cure=_FIT_CURE)


def digest(network: torch.nn.Module) -> str:
    """SHA-256, in hexadecimal, over names, dtypes, shapes and bytes of all tensors, in the order of the names."""
    total = hashlib.sha256()
    for name, tensor in sorted(_tensors_of(network).items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


_START_BYTES = 64
_READ_BYTES = 1 << 20
_FIT_CURE = "give the model.architecture and model.kwargs (such as num_classes) that the checkpoint was saved from"
_MAX_LISTED = 5
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


def _regular_file(uri: str) -> Path:
    path = Path(os.fsdecode(local_path(uri)))
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file")
    return path


def _start(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[:_START_BYTES]
    with source.open("rb") as file:
        return file.read(_START_BYTES)


def _parse(uri: str, source: Path | io.BytesIO, start: bytes) -> object:
    """Whatever the file holds, whose first bytes are ``start``."""
    if file_name(uri).endswith(".safetensors"):
        if isinstance(source, Path):
            return safetensors.torch.load_file(source)
        return safetensors.torch.load(source.getvalue())
    if not start.startswith(b"PK"):  # what PyTorch wrote before 1.6 is no zip archive, and cannot be mapped
        return _parse_torch(source, mmap=False)
    _check_archive(source, redacted(f"model.checkpoint={uri}"))
    return _parse_torch(source, mmap=isinstance(source, Path))


def _parse_torch(source: Path | io.BytesIO, *, mmap: bool) -> object:
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with warnings.catch_warnings(action="ignore"):  # that other protocols of pickle may not be readable
        return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)


def _check_archive(source: Path | io.BytesIO, where: str) -> None:
    """Refuses what torch would take for something else, and damage that it would not see."""
    with zipfile.ZipFile(source) as archive:
        names = {info.filename.rpartition("/")[2] for info in archive.infolist()}
        for kind, mark in (("a TorchScript archive", "constants.pkl"), ("an exported program", "archive_format")):
            if mark in names:
                raise JobError(f"{where}: is {kind}, which holds code", cure=RESAVE_CURE)
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:  # torch never does, and a little file could fill the memory
                raise zipfile.BadZipFile(f"{info.filename} is compressed")
            if info.CRC:  # 0 where torch was told to save without checksums
                _verify(archive, info)


def _verify(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    with archive.open(info) as file:
        while file.read(_READ_BYTES):
            pass


def _unreadable(error: Exception, start: bytes, where: str) -> JobError:
    """What to tell of a file that starts with ``start`` and gave ``error``."""
    if not start:
        return JobError(f"{where}: is empty", cure="copy it again")
    if start.startswith(b"version https://git-lfs"):
        return JobError(f"{where}: is a Git LFS pointer, not the file itself", cure="fetch the file: git lfs pull")
    if code := re.search(r"[Uu]nsupported (?:global: GLOBAL|class|GLOBAL):? ([\w.]+)", str(error)):
        return JobError(f"{where}: holds more than tensors ({code[1]}); reading it could run code", cure=RESAVE_CURE)
    pickled = re.search(r"WeightsUnpickler error:\s*(\S.*)", str(error))
    seen = pickled[1] if pickled else f"{type(error).__name__}: {one_line(error)}"
    if seen.startswith("Unsupported operand"):
        seen = "its pickle is damaged, or of a protocol that cannot be read safely, such as 4"
    return JobError(f"{where}: is broken, or of another format: {seen}", cure=f"copy it again, or {RESAVE_CURE}")


def _tensors_of(network: torch.nn.Module) -> StateDict:
    return {name: value for name, value in network.state_dict().items() if isinstance(value, torch.Tensor)}


def _fits(tensor: torch.Tensor, own: torch.Tensor) -> bool:
    """Integers in place of real numbers are quantised weights: they would load, and mean nothing."""
    return tensor.shape == own.shape and tensor.is_floating_point() == own.is_floating_point()


def _compared(tensor: torch.Tensor, own: torch.Tensor) -> str:
    seen: tuple[object, object] = (tuple(tensor.shape), tuple(own.shape))
    if tensor.shape == own.shape:
        seen = (tensor.dtype, own.dtype)
    return f"{seen[0]} in the checkpoint, {seen[1]} in the network"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more
