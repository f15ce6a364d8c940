"""Caches timm's and torchvision's records about their models on the node, which saves the next command seconds of
imports. Runs on the driver.
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
    """Returns the record from ``make``, cached by name, library version, and the code of this project.

    Raises:
        JobError, UnreachableError: raised by ``make``; nothing is then cached.
    """
    parts = (library, version(library), name, package_digest("actors"))
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    if folder := find(key, _is_current, kind=RECORDS):
        with suppress(ValueError, TypeError, OSError):  # pruned in the meantime
            return _from_json(json.loads((folder / _FILE).read_text()))
    record = make()

    def write(folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(vars(record)))

    with suppress(JobError):  # no cache: the next command reads it again
        keep(key, write, _is_current, kind=RECORDS)
    return record


_FILE = "record.json"


def _is_current(folder: Path) -> bool:  # noqa: ARG001  the key covers everything relevant
    return True


def _from_json(content: dict[str, Any]) -> Record:
    several = content.pop("checkpoint")
    return Record(**content, checkpoint=tuple(several) if isinstance(several, list) else several)
