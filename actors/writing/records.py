"""The record of each run, ``run.json``: the identity of its job and the size of its inventory. Read on the driver
before a run opens, to find the run to resume and those already published, and by readers of an output.
"""

from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from actors.messages import writing_to
from actors.storage.json_documents import read_object
from actors.storage.uris import join
from actors.writing.run_paths import RunPaths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.storage.store import Storage

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Identity:
    """Key of a job: two commands with equal identities are the same job."""

    fingerprint: str
    dataset_digest: str
    mode: str

    def difference(self, other: Identity) -> str | None:
        """Returns the name of the first difference; None if both are the same job."""
        if self.fingerprint != other.fingerprint:
            return "model, pre-processing or task"
        if self.dataset_digest != other.dataset_digest:
            return "dataset"
        return None if self.mode == other.mode else "mode"


@dataclass(frozen=True)
class Record:
    """Content of ``run.json``, which exists once the inventory is complete."""

    run_id: str
    identity: Identity
    columns_digest: str
    """Digest of the dataset settings that determine the columns: rows with equal digests have equal columns."""
    opened_at: str
    """UTC, ISO 8601."""
    num_listed: int
    num_shards: int
    inventory_digest: str
    """SHA-256 over the SHA-256 digests of the inventory's files, in order."""
    redrives: list[str] = field(default_factory=list)
    """Ids of the runs whose error rows this one retries."""
    passed_over: dict[str, Any] = field(default_factory=dict)
    """Files skipped by the listing, as returned by `PassedOver.to_json`."""
    is_published: bool = False

    def to_json(self) -> dict[str, Any]:
        content = asdict(self) | asdict(self.identity)
        return {key: value for key, value in content.items() if key not in {"identity", "is_published"}}

    def published(self) -> Record:
        """Returns the record marked as published."""
        return replace(self, is_published=True)

    def withdrawn(self) -> Record:
        """Returns the record marked as no longer published."""
        return replace(self, is_published=False)

    @classmethod
    def from_json(cls, content: dict[str, Any], *, is_published: bool) -> Record:
        """Parses `to_json`. Raises ValueError naming the key if ``content`` is not a valid record."""
        for key, kind in _KINDS.items():
            # JSON's true is an int in Python.
            if not isinstance(content.get(key), kind) or isinstance(content[key], bool):
                raise ValueError(f"{key} is missing or not of type {kind.__name__}")  # noqa: TRY004
        # These become parts of paths for reading, writing and deleting files.
        for name in (content["run_id"], content["fingerprint"], *content["redrives"]):
            if not isinstance(name, str) or not FOLDER_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.100} is not a valid folder name")
        identity = Identity(content["fingerprint"], content["dataset_digest"], content["mode"])
        own = {key: content[key] for key in _KEYS}
        passed_over = content.get("passed_over", {})  # absent from older records
        return cls(identity=identity, passed_over=passed_over, is_published=is_published, **own)


FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Valid names of runs and fingerprints."""
_KEYS = ("run_id", "columns_digest", "opened_at", "num_listed", "num_shards", "inventory_digest", "redrives")
_KINDS = dict.fromkeys(("run_id", "fingerprint", "dataset_digest", "mode", *_KEYS), str) | {
    "num_listed": int,
    "num_shards": int,
    "redrives": list,
}
_THREADS = 16  # records read concurrently; each is one small request to storage


def read_records(root: str, storage: Storage) -> list[Record]:
    """Returns the records of the runs under the output ``root``, latest first. Skips damaged records with a warning."""
    folder = join(root, "runs")
    run_ids = [uri.rstrip("/").rpartition("/")[2] for uri in storage.children(folder)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda run_id: _read(RunPaths(root, "", run_id), storage), run_ids)
        return sorted((record for record in found if record), key=lambda record: record.opened_at, reverse=True)


def write_record(record: Record, paths: RunPaths, storage: Storage, about: Mapping[str, str | int]) -> None:
    """Writes ``run.json``: the keys of ``about``, then those of the record."""
    with writing_to(paths.run):
        storage.write(paths.record, json.dumps({**about, **record.to_json()}, indent=1).encode())


def _read(paths: RunPaths, storage: Storage) -> Record | None:
    try:
        content = read_object(paths.record, storage)
        record = Record.from_json(content, is_published=storage.kind(paths.success) == "file")
    except FileNotFoundError:  # its listing was interrupted, so none of its images was started
        return None
    except ValueError as error:
        LOG.warning("%s: damaged (%s); ignoring run %s", paths.record, error, paths.run_id)
        return None
    if record.run_id != paths.run_id:
        LOG.warning("%s: belongs to run %s; ignoring run %s", paths.record, record.run_id, paths.run_id)
        return None
    return record
