"""Zip archives that PyTorch writes. Used before one is loaded."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

SCRIPT, PROGRAM, COMPILED = "a TorchScript archive", "an exported program", "a network compiled for one machine"


def kind_of(names: Collection[str]) -> str | None:
    """`SCRIPT`, `PROGRAM` or `COMPILED`, by the ``names`` in an archive; None for a state_dict."""
    if any("/aotinductor/" in name for name in names):
        return COMPILED
    ends = {name.rpartition("/")[2] for name in names}
    return next((kind for telltale, kind in _TELLTALES.items() if telltale in ends), None)


def read_kind(source: Path | BinaryIO) -> str | None:
    """The `kind_of` an archive. One of tensors is read as a whole first.

    Raises:
        zipfile.BadZipFile: it is damaged, which PyTorch might not notice, or compressed, as PyTorch writes only code.
    """
    with zipfile.ZipFile(source) as archive:
        kind = kind_of(archive.namelist())
        if kind != SCRIPT:
            for info in archive.infolist():
                _check(archive, info)
        return kind


def _check(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    if info.compress_type != zipfile.ZIP_STORED:  # a small file could fill the memory
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
_READ_BYTES = 1 << 20  # of a member at a time: only its checksum is wanted
