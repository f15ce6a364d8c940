"""Records of the libraries timm and torchvision about their models, kept on the node: the next command then imports
neither, which takes seconds. Runs on the driver.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from actors.disk_cache import RECORDS, find, keep
from actors.errors import JobError
from actors.exporting.source_digest import package_digest, version
from actors.models.sources.base import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def kept_record(library: str, name: str, make: Callable[[], Record]) -> Record:
    """The record that ``make`` gives, or gave before for the same name, version of the library, and code of this
    project.

    Raises:
        JobError, UnreachableError: those of ``make``; nothing is then kept.
    """
    parts = (library, version(library), name, package_digest("actors"))
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    if folder := find(key, _is_current, kind=RECORDS):
        with suppress(ValueError, TypeError, OSError):  # pruned meanwhile
            return _from_json(json.loads((folder / _FILE).read_text()))
    record = make()

    def write(folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(vars(record)))

    with suppress(JobError):  # no cache: the next command reads it again
        keep(key, write, _is_current, kind=RECORDS)
    return record


_FILE = "record.json"


def _is_current(folder: Path) -> bool:  # noqa: ARG001  the key holds all that counts
    return True


def _from_json(content: dict[str, Any]) -> Record:
    several = content.pop("checkpoint")
    return Record(**content, checkpoint=tuple(several) if isinstance(several, list) else several)
