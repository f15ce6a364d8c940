"""Zip archives that PyTorch writes. Used before an archive is loaded."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from actors.errors import JobError
from actors.messages import one_line
from actors.models.node_copies import pinned_content

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from actors.models.spec import Model

SCRIPT, PROGRAM, COMPILED = "a TorchScript archive", "an exported program", "a network compiled for one machine"


def kind_of(names: Collection[str]) -> str | None:
    """Returns `SCRIPT`, `PROGRAM` or `COMPILED`, by the ``names`` in an archive; None for a state_dict."""
    if any("/aotinductor/" in name for name in names):
        return COMPILED
    ends = {name.rpartition("/")[2] for name in names}
    return next((kind for telltale, kind in _TELLTALES.items() if telltale in ends), None)


def read_kind(source: Path | BinaryIO) -> str | None:
    """Returns the `kind_of` an archive. An archive of tensors is first read as a whole.

    Raises:
        zipfile.BadZipFile: the archive is damaged, which PyTorch might not notice, or compressed; PyTorch compresses
            only code.
    """
    with zipfile.ZipFile(source) as archive:
        kind = kind_of(archive.namelist())
        if kind != SCRIPT:
            for info in archive.infolist():
                _check(archive, info)
        return kind


def pinned_archive(model: Model, wanted: str, *, fix: str, fix_of_state_dict: str = "") -> io.BytesIO:
    """Returns the content of the only file of ``model``, pinned by `model.sha256`, positioned at its start.

    Args:
        model: the model.
        wanted: the kind that the archive must have.
        fix: fix in the error for another kind.
        fix_of_state_dict: the same for a state_dict; by default ``fix``.

    Raises:
        JobError: the file is not the pinned one, is damaged, or has another kind.
    """
    data = io.BytesIO(pinned_content(model))
    try:
        kind = read_kind(data)
    except zipfile.BadZipFile as error:
        raise JobError(f"{model.where}: is no whole archive: {one_line(error)}", fix="copy it again") from error
    if kind != wanted:
        raise JobError(
            f"{model.where}: is {kind or 'a state_dict'}, not {wanted}",
            fix=fix if kind else fix_of_state_dict or fix,
        )
    data.seek(0)
    return data


def _check(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    if info.compress_type != zipfile.ZIP_STORED:  # a small file could fill memory
        raise zipfile.BadZipFile(f"{info.filename} is compressed")
    if info.CRC:  # 0 if torch saved without checksums
        with archive.open(info) as file:
            while file.read(_READ_BYTES):
                pass


_TELLTALES = {
    "constants.pkl": SCRIPT,
    "archive_format": PROGRAM,
    "serialized_exported_program.json": PROGRAM,  # before PyTorch 2.8
}
_READ_BYTES = 1 << 20  # read from a member at a time: only its checksum is needed
