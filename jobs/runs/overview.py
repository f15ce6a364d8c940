"""The runs of an output with their state and counts, for `python -m jobs.runs`. Runs on the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from actors.errors import JobError
from actors.models.names import model_name
from actors.outputs.published_run import read_published
from actors.storage.json_documents import MAX_SMALL_BYTES, read_object
from actors.writing.run_paths import RunPaths
from jobs.datasets.paths import dataset_name
from jobs.job import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.outputs import Output, PublishedRun
    from actors.storage.store import Storage
    from actors.writing.records import Record

OPEN, PUBLISHED, REDRIVEN, SUPERSEDED, DAMAGED = "open", "published", "redriven", "superseded", "damaged"


@dataclass(frozen=True)
class Overview:
    """Summary of a run; None for figures that its documents lack."""

    run_id: str
    state: str
    """``open``: not published; ``redriven``: another run has retried its error rows; ``superseded``: a later run with
    `run.mode=full` has predicted the same dataset with the same model; ``damaged``: its documents cannot be read."""
    opened_at: str
    committed_at: str | None
    model: str
    fingerprint: str
    dataset: str
    mode: str
    num_listed: int
    num_ok: int | None
    num_errors: int | None
    images_per_s: float | None


def overviews(output: Output) -> list[Overview]:
    """Returns all runs, most recently committed first; an open run is ordered by its opening time.

    Raises:
        JobError: there are no runs, or they cannot be read from storage.
    """
    records = output.records()
    if not records:
        raise JobError(f"{output.name}: there are no runs below it", fix="give the output.path of a job")
    with output.reading(), ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda record: _overview(record, output), records))
    digests = {record.run_id: record.identity.dataset_digest for record in records}
    newest: dict[tuple[str, str], str] = {}
    for one in sorted(found, key=lambda one: one.committed_at or ""):
        if one.mode == Mode.full.value and one.committed_at:
            newest[one.fingerprint, digests[one.run_id]] = one.committed_at
    marked = [_marked(one, newest.get((one.fingerprint, digests[one.run_id]))) for one in found]
    return sorted(marked, key=lambda one: one.committed_at or one.opened_at, reverse=True)


_THREADS = 4  # manifests in memory at a time


def _overview(record: Record, output: Output) -> Overview:
    paths = RunPaths(output.root, record.identity.fingerprint, record.run_id)
    run, state = _published(record, output)
    report = _read(paths.report, output.storage)
    config = run.config if run else _read_config(paths.config, output.storage)
    counts = run.manifest if run else report
    model, dataset = config.get("model") or {}, config.get("dataset") or {}
    return Overview(
        run_id=record.run_id,
        state=state,
        opened_at=record.opened_at,
        committed_at=run.committed_at if run else None,
        model=model_name(*(model.get(key) for key in ("source", "architecture", "checkpoint"))),
        fingerprint=record.identity.fingerprint,
        dataset=dataset_name(str(dataset.get("kind") or ""), dataset.get("path")),
        mode=record.identity.mode,
        num_listed=record.num_listed,
        num_ok=counts.get("num_ok"),
        num_errors=counts.get("num_errors"),
        images_per_s=report.get("images_per_s"),
    )


def _published(record: Record, output: Output) -> tuple[PublishedRun | None, str]:
    if not record.is_published:
        return None, OPEN
    try:
        run = read_published(record, output.root, output.storage)
    except JobError:
        return None, DAMAGED
    return run, PUBLISHED if run.redriven_by is None else REDRIVEN


def _marked(one: Overview, newest: str | None) -> Overview:
    """Returns the run, marked if a full run of the same model and dataset was committed later, at ``newest``."""
    is_older = newest is not None and one.committed_at is not None and one.committed_at < newest
    return replace(one, state=SUPERSEDED) if is_older else one


def _read(uri: str, storage: Storage) -> Mapping[str, Any]:
    """Reads the JSON object in a file; empty if it is missing or damaged."""
    try:
        return read_object(uri, storage)
    except (FileNotFoundError, ValueError):
        return {}


def _read_config(uri: str, storage: Storage) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(storage.read(uri, max_bytes=MAX_SMALL_BYTES))
    except (FileNotFoundError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
