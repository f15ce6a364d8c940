"""Checks the files of a model against ``model.sha256``. Runs wherever they are loaded; imports no library."""

from __future__ import annotations

import hashlib
import re
import shlex
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.model_files import base_name, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from actors.models.spec import Model


def check_pin(model: Model) -> None:
    """Raises `JobError` if ``model.sha256`` is not a digest."""
    if model.sha256 and not re.fullmatch(r"[0-9a-f]{64}", pin(model)):
        raise JobError(
            f"model.sha256={model.sha256}: not the 64 hexadecimal digits of a SHA-256 digest",
            fix=f"give the first word that {_command([base_name(model.checkpoint)])} prints",
        )


def check_pinned(model: Model, kind: str) -> None:
    """Raises `JobError` if ``model.sha256`` is not set, for a file that can run code when loaded."""
    if model.sha256:
        return
    raise JobError(
        f"{model.where}: {kind} can hold code, and is not loaded unless model.sha256 pins the file",
        fix="if you trust where it comes from, set model.sha256 to the first word that "
        f"{_command([base_name(model.checkpoint)])} prints; or export the model to .onnx, which holds no code",
    )


def check_content(model: Model, paths: Sequence[Path]) -> None:
    """Raises `JobError` if ``model.sha256`` is set and is not the digest of the concatenated files."""
    if model.sha256:
        with reading(model.where):
            _compare(model, _chunks(paths), [path.name for path in paths])


def check_bytes(model: Model, data: bytes) -> None:
    """Checks the content of the only file of ``model``, whose ``model.sha256`` is set, in the same way."""
    _compare(model, [data], [base_name(model.checkpoint)])


def pin(model: Model) -> str:
    """Returns ``model.sha256`` as 64 lower-case digits."""
    return model.sha256.strip().lower().removeprefix("sha256:")


_CHUNK_BYTES = 1 << 20


def _chunks(paths: Sequence[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def _compare(model: Model, chunks: Iterable[bytes], names: Sequence[str]) -> None:
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
    if total.hexdigest() != pin(model):
        raise JobError(
            f"{model.where}: its SHA-256 is {total.hexdigest()}, not model.sha256={model.sha256}",
            fix=f"the file has changed or is damaged: fetch it again and compare with {_command(names)}",
        )


def _command(names: Sequence[str]) -> str:
    """Returns the shell command that prints the digest of the files."""
    listed = shlex.join(names)
    return f"`sha256sum {listed}`" if len(names) == 1 else f"`cat {listed} | sha256sum`"
