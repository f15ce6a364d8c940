"""What is written down of each run of an output when it opens: what it is of, and how much of it there is. Read on
the driver before a run opens, to find the one to go on with and those that are done.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import writing_to
from actors.storage.json_documents import read_object
from actors.storage.uris import join
from actors.writing.run_paths import RunPaths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.storage.store import Storage
    from jobs.job import Job

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class Identity:
    """What two commands must have in common to be the same job."""

    fingerprint: str
    dataset_digest: str
    mode: str

    def difference(self, other: Identity) -> str | None:
        """What of the two is another, in words; None where they are the same job."""
        if self.fingerprint != other.fingerprint:
            return "model, pre-processing or task"
        if self.dataset_digest != other.dataset_digest:
            return "dataset"
        return None if self.mode == other.mode else "mode"


@dataclass(frozen=True)
class Record:
    """The content of ``run.json``, which is there once the inventory is whole."""

    run_id: str
    identity: Identity
    columns_digest: str
    """Of what the dataset's config says of columns: rows of one digest have the same ones."""
    opened_at: str
    """UTC, ISO 8601."""
    num_listed: int
    num_shards: int
    inventory_digest: str
    """SHA-256 over the SHA-256 digests of the inventory's files, in their order."""
    redrives: list[str] = field(default_factory=list)
    """The runs whose error rows this one tries again."""
    passed_over: dict[str, Any] = field(default_factory=dict)
    """What the listing passed over, as `PassedOver.to_json` gives it."""
    is_published: bool = False

    def to_json(self) -> dict[str, Any]:
        content = asdict(self) | asdict(self.identity)
        return {key: value for key, value in content.items() if key not in {"identity", "is_published"}}

    def published(self) -> Record:
        """The same record, once its run is published."""
        return replace(self, is_published=True)

    def withdrawn(self) -> Record:
        """The same record, once its run is published no longer."""
        return replace(self, is_published=False)

    @classmethod
    def from_json(cls, content: dict[str, Any], *, is_published: bool) -> Record:
        """Raises ValueError, which names the key, where ``content`` is no record."""
        for key, kind in _KINDS.items():
            if not isinstance(content.get(key), kind) or isinstance(content[key], bool):
                raise ValueError(f"{key} is missing or no {kind.__name__}")  # noqa: TRY004
        # They become parts of paths, below which files are read, written and deleted.
        for name in (content["run_id"], content["fingerprint"], *content["redrives"]):
            if not isinstance(name, str) or not _FOLDER_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.100} is no name of a folder")
        identity = Identity(content["fingerprint"], content["dataset_digest"], content["mode"])
        own = {key: content[key] for key in _KEYS}
        passed_over = content.get("passed_over", {})  # not in runs from before it was counted
        return cls(identity=identity, passed_over=passed_over, is_published=is_published, **own)


def run_id_of(job: Job) -> str:
    """`run.id`, or a name made from the time, which sorts by it.

    Raises:
        JobError: `run.id` is no name for a folder.
    """
    run_id = job.run.id
    if run_id is None:
        return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    if not _FOLDER_NAME.fullmatch(run_id):
        raise JobError(
            f"run.id={run_id}: not a name for a folder",
            cure="use letters, digits, dots, dashes and underscores, at most 100, a letter or digit first",
        )
    return run_id


_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEYS = ("run_id", "columns_digest", "opened_at", "num_listed", "num_shards", "inventory_digest", "redrives")
_KINDS = dict.fromkeys(("run_id", "fingerprint", "dataset_digest", "mode", *_KEYS), str) | {
    "num_listed": int,
    "num_shards": int,
    "redrives": list,
}
_THREADS = 16


def read_records(root: str, storage: Storage) -> list[Record]:
    """The runs of the output ``root`` that have opened, the latest first. One whose record is damaged is told of, and
    left out.
    """
    folder = join(root, "runs")
    run_ids = [uri.rstrip("/").rpartition("/")[2] for uri in storage.children(folder)]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda run_id: _read(RunPaths(root, "", run_id), storage), run_ids)
        return sorted((record for record in found if record), key=lambda record: record.opened_at, reverse=True)


def write_record(record: Record, paths: RunPaths, storage: Storage, about: Mapping[str, str | int]) -> None:
    """Writes ``run.json``: the record, beside what else it says ``about`` the run."""
    with writing_to(paths.run):
        storage.write(paths.record, json.dumps({**about, **record.to_json()}, indent=1).encode())


def _read(paths: RunPaths, storage: Storage) -> Record | None:
    try:
        content = read_object(paths.record, storage)
        record = Record.from_json(content, is_published=storage.kind(paths.success) == "file")
    except FileNotFoundError:  # its listing was broken off: nothing of it has begun
        return None
    except ValueError as error:
        LOG.warning("%s: damaged (%s): run %s counts for nothing here", paths.record, error, paths.run_id)
        return None
    if record.run_id != paths.run_id:
        LOG.warning("%s: of run %s: run %s counts for nothing here", paths.record, record.run_id, paths.run_id)
        return None
    return record
