"""Parses `run.json`, `manifest.json`, `report.json` and `config.yaml` by their format, without the code that writes
them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.storage.json_documents import MAX_BYTES, parse_object
from jobs.verification import row_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@dataclass(frozen=True)
class RecordDocument:
    """``run.json``: the run as opened."""

    run_id: str
    mode: str
    fingerprint: str
    num_listed: int
    num_shards: int
    inventory_digest: str
    dataset_digest: str
    columns_digest: str
    config_digest: str
    redrives: Sequence[str]


@dataclass(frozen=True, eq=False)
class Entry:
    """One part file in a manifest."""

    folder: str
    """``rows`` or ``errors``."""
    file: str
    num_rows: int
    size_bytes: int
    digest: str
    spans: np.ndarray


@dataclass(frozen=True, eq=False)
class Manifest:
    """``manifest.json``: the run as published."""

    run_id: str
    mode: str
    fingerprint: str
    num_listed: int
    num_ok: int
    num_errors: int
    inventory_digest: str
    dataset_digest: str
    columns_digest: str
    entries: Sequence[Entry]
    redriven_by: str | None


@dataclass(frozen=True)
class Report:
    """``report.json``: the reported totals."""

    run_id: str
    fingerprint: str
    num_listed: int
    num_ok: int
    num_errors: int


@dataclass(frozen=True)
class Config:
    """``config.yaml``: the config of the job."""

    digest: str
    """SHA-256 of the text as a JSON string, as in ``run.json``."""
    gives_ratios: bool
    """True if scores lie between 0 and 1."""


def read_record(data: bytes) -> RecordDocument:
    """Parses the text. Raises ValueError, naming the key, if it is malformed."""
    content = _load(data)
    redrives = _take(content, "redrives", list) if "redrives" in content else []
    own = _take_all(content, _OF_BOTH, num_shards=int, config_digest=str)
    return RecordDocument(**own, redrives=[_folder_name("redrives", run_id) for run_id in redrives])


def read_manifest(data: bytes) -> Manifest:
    """Parses the text. Raises ValueError, naming the key, if it is malformed."""
    content = _load(data)
    entries = [_entry(folder, part) for folder in ("rows", "errors") for part in _take(content, folder, list)]
    redriven_by = _take(content, "redriven_by", str) if content.get("redriven_by") is not None else None
    own = _take_all(content, _OF_BOTH, num_ok=int, num_errors=int)
    return Manifest(**own, entries=entries, redriven_by=redriven_by)


def read_report(data: bytes) -> Report:
    """Parses the text. Raises ValueError, naming the key, if it is malformed."""
    return Report(**_take_all(parse_object(data), _OF_REPORT))


def read_config(data: bytes) -> Config:
    """Parses ``config.yaml``. Raises ValueError if it is not UTF-8 text."""
    text = data.decode()
    # The job writes this file in block style with two spaces per level, on which both patterns rely.
    task = re.search(r"^task:\n((?:  .*\n)*)", text, re.MULTILINE)
    activation = re.search(r"^  activation: (\w+)$", task[1], re.MULTILINE) if task else None
    is_zero_shot = task is not None and re.search(r"^  name: zero_shot$", task[1], re.MULTILINE) is not None
    digest = hashlib.sha256(json.dumps(text).encode()).hexdigest()
    return Config(digest, is_zero_shot or (activation is not None and activation[1] in {"softmax", "sigmoid"}))


_OF_BOTH = {
    "run_id": str,
    "mode": str,
    "fingerprint": str,
    "num_listed": int,
    "inventory_digest": str,
    "dataset_digest": str,
    "columns_digest": str,
}
_OF_REPORT = {"run_id": str, "fingerprint": str, "num_listed": int, "num_ok": int, "num_errors": int}
_OF_ENTRY = {"file": str, "num_rows": int, "size_bytes": int, "digest": str}


def _load(data: bytes) -> dict[str, Any]:
    # Ranges become arrays as soon as their entry is parsed: as lists they would take ten times the memory.
    return parse_object(data, max_bytes=MAX_BYTES, convert=_with_spans)


def _with_spans(content: dict[str, Any]) -> dict[str, Any]:
    return content | {"ranges": row_sets.parse(content["ranges"])} if "ranges" in content else content


def _entry(folder: str, part: Any) -> Entry:
    if not isinstance(part, dict) or "ranges" not in part:
        raise ValueError(f"{folder}: an entry has no ranges")
    return Entry(folder, spans=part["ranges"], **_take_all(part, _OF_ENTRY))


def _take_all(content: dict[str, Any], kinds: dict[str, type], **more: type) -> dict[str, Any]:
    return {key: _take(content, key, kind) for key, kind in {**kinds, **more}.items()}


def _take(content: dict[str, Any], key: str, kind: type) -> Any:
    if key not in content:
        raise ValueError(f"{key} is missing")
    value = content[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key}={value!r:.100} is not of type {kind.__name__}")  # noqa: TRY004
    if isinstance(value, int) and not 0 <= value < _MAX_COUNT:
        raise ValueError(f"{key}: out of range for a count")
    return _folder_name(key, value) if key in _FOLDER_NAMES else value


_MAX_COUNT = 1 << 63  # counts are compared as numpy int64
_FOLDER_NAMES = {"run_id", "fingerprint", "redriven_by"}


def _folder_name(key: str, value: Any) -> str:
    """Returns ``value`` if it is safe as a component of a path: it must not lead out of the output."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError(f"{key}={value!r:.100} is not a folder name")
    return value
