"""`run.json` and `manifest.json` as their format says, read without the code that writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.verification import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@dataclass(frozen=True)
class Record:
    """``run.json``: what a run was when it opened."""

    run_id: str
    mode: str
    fingerprint: str
    num_listed: int
    num_shards: int
    inventory_digest: str
    redrives: Sequence[str]


@dataclass(frozen=True, eq=False)
class Entry:
    """One file that a manifest names."""

    folder: str
    """``rows`` or ``errors``."""
    file: str
    num_rows: int
    size_bytes: int
    digest: str
    spans: np.ndarray


@dataclass(frozen=True, eq=False)
class Manifest:
    """``manifest.json``: what a run was when it was published."""

    run_id: str
    mode: str
    fingerprint: str
    num_listed: int
    num_ok: int
    num_errors: int
    inventory_digest: str
    entries: Sequence[Entry]
    redriven_by: str | None


def read_record(data: bytes) -> Record:
    """Raises ValueError, which names the key, where the text is not of the format."""
    content = _load(data)
    redrives = _take(content, "redrives", list) if "redrives" in content else []
    return Record(**_take_all(content, _OF_BOTH, num_shards=int), redrives=[str(run_id) for run_id in redrives])


def read_manifest(data: bytes) -> Manifest:
    """Raises ValueError, which names the key, where the text is not of the format."""
    content = _load(data)
    entries = [_entry(folder, part) for folder in ("rows", "errors") for part in _take(content, folder, list)]
    redriven_by = _take(content, "redriven_by", str) if content.get("redriven_by") is not None else None
    own = _take_all(content, _OF_BOTH, num_ok=int, num_errors=int)
    return Manifest(**own, entries=entries, redriven_by=redriven_by)


_OF_BOTH = {"run_id": str, "mode": str, "fingerprint": str, "num_listed": int, "inventory_digest": str}
_OF_ENTRY = {"file": str, "num_rows": int, "size_bytes": int, "digest": str}


def _load(data: bytes) -> dict[str, Any]:
    # Ranges become arrays as soon as their part is parsed: as lists they take ten times the memory.
    content = json.loads(data, object_hook=_with_spans)
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004  ValueError is all that is not of the format
    return content


def _with_spans(content: dict[str, Any]) -> dict[str, Any]:
    return content | {"ranges": spans.parse(content["ranges"])} if "ranges" in content else content


def _entry(folder: str, part: Any) -> Entry:
    if not isinstance(part, dict) or "ranges" not in part:
        raise ValueError(f"{folder}: an entry without ranges")
    return Entry(folder, spans=part["ranges"], **_take_all(part, _OF_ENTRY))


def _take_all(content: dict[str, Any], kinds: dict[str, type], **more: type) -> dict[str, Any]:
    return {key: _take(content, key, kind) for key, kind in {**kinds, **more}.items()}


def _take(content: dict[str, Any], key: str, kind: type) -> Any:
    if key not in content:
        raise ValueError(f"it has no {key}")
    value = content[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key}={value!r} is no {kind.__name__}")  # noqa: TRY004
    return value
