"""The published runs that a conversion reads, newest first: chosen by `convert.run` and `convert.model`, with the parts
that their manifests name. Runs that have not ended are never read.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.json_documents import MAX_BYTES, parse_object
from actors.storage.uris import join
from actors.writing.run_paths import PART_NAME, RunPaths
from jobs.config import dataset_paths
from jobs.runs.records import read_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.storage.store import Storage
    from jobs.conversion.config import Conversion
    from jobs.runs.records import Record


@dataclass(frozen=True)
class PublishedRun:
    """A run with its parts, as URIs in the order of the manifest."""

    run_id: str
    fingerprint: str
    rows: Sequence[str]
    errors: Sequence[str]
    """Empty if another run has taken over the error rows."""
    num_rows: int
    num_errors: int
    """Rows in `errors`."""
    dataset_paths: Sequence[str]


def choose_runs(wanted: Conversion, root: str, storage: Storage) -> list[PublishedRun]:
    """The runs to convert, newest first: one if `convert.run` names it, otherwise all published runs of one model.

    Raises:
        JobError: there is none, it is not published, or several models would be mixed.
    """
    given = redacted(f"output.path={wanted.output.path}")
    try:
        records = read_records(root, storage)
        published = [record for record in records if record.is_published]
        chosen = _chosen(wanted, given, records, published)
        return [_read(RunPaths(root, record.identity.fingerprint, record.run_id), storage) for record in chosen]
    except (OSError, BaseError) as error:
        raise JobError(
            f"{given}: cannot be read: {one_line(error)}",
            cure="give a folder or prefix that you may read, and its region and keys in output.storage_options",
        ) from error


def _chosen(wanted: Conversion, given: str, records: Sequence[Record], published: Sequence[Record]) -> Sequence[Record]:
    run_id, model = wanted.convert.run, wanted.convert.model
    if not published:
        state = f"none of its {len(records)} runs is published" if records else "there are no runs below it"
        raise JobError(f"{given}: {state}", cure="give the output.path of a job that has ended")
    if run_id is not None:
        return [_named(run_id, records, published)]
    models = Counter(record.identity.fingerprint for record in published)
    listed = ", ".join(f"{name} ({number} run{'s' * (number > 1)})" for name, number in models.items())
    if model is not None and model not in models:
        raise JobError(f"convert.model={model}: no published run has that model", cure=f"the models are {listed}")
    if model is None and len(models) > 1:
        raise JobError(
            f"{given}: has the rows of {len(models)} models: {listed}",
            cure="choose one with convert.model=FINGERPRINT, or a single run with convert.run=RUN_ID",
        )
    return [record for record in published if model in (None, record.identity.fingerprint)]


def _named(run_id: str, records: Sequence[Record], published: Sequence[Record]) -> Record:
    found = next((record for record in published if record.run_id == run_id), None)
    if found is not None:
        return found
    latest = ", ".join(record.run_id for record in published[:_NUM_NAMED])
    is_open = any(record.run_id == run_id for record in records)
    state = "that run is not published" if is_open else "there is no such run"
    raise JobError(f"convert.run={run_id}: {state}", cure=f"the latest published runs are {latest}")


def _read(paths: RunPaths, storage: Storage) -> PublishedRun:
    try:
        # As lists, the ranges of rows take ten times the memory of the file; a conversion does without.
        manifest = parse_object(
            storage.read(paths.manifest, max_bytes=MAX_BYTES), max_bytes=MAX_BYTES, convert=_without_ranges
        )
        rows, num_rows = _parts(manifest, "rows", paths.rows)
        is_moved = manifest.get("redriven_by") is not None
        errors, num_errors = ([], 0) if is_moved else _parts(manifest, "errors", paths.errors)
        bases = dataset_paths(storage.read(paths.config, max_bytes=MAX_BYTES).decode())
    except (ValueError, LookupError, TypeError, FileNotFoundError) as error:
        raise JobError(
            f"{redacted(paths.run)}: its documents are damaged: {one_line(error)}",
            cure=f"python -m jobs.verify output.path=… run.id={paths.run_id} names all that is wrong",
        ) from error
    return PublishedRun(paths.run_id, paths.fingerprint, rows, errors, num_rows, num_errors, bases)


def _without_ranges(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "ranges"}


def _parts(manifest: dict[str, Any], key: str, folder: str) -> tuple[list[str], int]:
    files = [entry["file"] for entry in manifest[key]]
    # A name must not lead out of the folder of the run.
    if strange := next((file for file in files if not PART_NAME.fullmatch(file)), None):
        raise ValueError(f"{strange!r:.100} is no name of a part")
    return [join(folder, file) for file in files], sum(int(entry["num_rows"]) for entry in manifest[key])


_NUM_NAMED = 5  # runs in an error message
