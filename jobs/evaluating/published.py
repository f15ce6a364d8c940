"""A published run, with the parts that its manifest names. Read on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from obstore.exceptions import BaseError

from actors.errors import JobError, UnreachableError
from actors.messages import one_line, redacted
from actors.models.labels import read_names
from actors.storage.json_documents import read_object
from actors.writing.run_paths import RunPaths
from actors.writing.summaries import total
from jobs.runs.parts import find_parts
from jobs.runs.records import read_records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.storage.store import Storage


@dataclass(frozen=True)
class PublishedRun:
    """A run that has ended."""

    paths: RunPaths
    config: Mapping[str, Any]
    """Its job, as plain values."""
    num_ok: int
    num_errors: int
    parts: Sequence[str]
    """URIs of the files with rows."""
    counters: dict[str, int]
    """The sum of what the receipts of `parts` count, by name."""

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes in order, if the model has any and their file is still there."""
        given = self.config["model"].get("labels")
        # Where the config holds them, they are written so that OmegaConf interpolates nothing.
        given = [str(name).replace(r"\${", "${") for name in given] if isinstance(given, list) else given
        try:
            return read_names(given, "model.labels", {})
        except (JobError, UnreachableError):
            return None


def read_published(root: str, run_id: str, storage: Storage) -> PublishedRun:
    """Reads the documents of a run and the footers of its parts.

    Raises:
        JobError: there is no such run, it is not published, or storage does not give it.
    """
    where = f"evaluate.run={run_id}"
    try:
        records = read_records(root, storage)
        record = next((one for one in records if one.run_id == run_id), None)
        if record is None or not record.is_published:
            latest = [one.run_id for one in records if one.is_published][:_NUM_NAMED]
            raise JobError(
                f"{where}: {'that run is not published' if record else f'no such run below {redacted(root)}'}",
                cure=f"the latest published runs are {', '.join(latest)}"
                if latest
                else "give the output.path of a job",
            )
        paths = RunPaths(root, record.identity.fingerprint, run_id)
        manifest = read_object(paths.manifest, storage)
        config = yaml.safe_load(storage.read(paths.config))
        return _published(paths, config, manifest, storage)
    except (OSError, BaseError, ValueError, LookupError, yaml.YAMLError) as error:
        raise JobError(
            f"{where}: cannot be read: {one_line(error)}",
            cure=f"python -m jobs.verify output.path=… run.id={run_id} names all that is wrong",
        ) from error


def _published(paths: RunPaths, config: Mapping[str, Any], manifest: dict[str, Any], storage: Storage) -> PublishedRun:
    named = {entry["file"] for entry in manifest["rows"]}
    parts = [part for part in find_parts(paths.rows, storage, {}) if part.uri.rpartition("/")[2] in named]
    receipts = [part.receipt for part in parts if part.receipt]
    if len(receipts) < len(named):
        raise ValueError(f"{len(named) - len(receipts)} of its parts are missing or damaged")
    counters = total(receipt.summary for receipt in receipts).counters
    uris = [part.uri for part in parts]
    return PublishedRun(paths, config, manifest["num_ok"], manifest["num_errors"], uris, counters)


_NUM_NAMED = 5
