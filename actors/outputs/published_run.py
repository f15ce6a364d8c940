"""A published run and the parts named in its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from actors.errors import JobError, UnreachableError
from actors.messages import one_line, redacted
from actors.models.labels import read_names
from actors.outputs.row_batches import part_schema, read_batches
from actors.storage.json_documents import MAX_BYTES, parse_object
from actors.storage.uris import join
from actors.writing.parts import find_parts
from actors.writing.run_paths import PART_NAME, RunPaths
from actors.writing.summaries import total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.storage.store import Storage
    from actors.writing.records import Record
    from actors.writing.summaries import Summary


@dataclass(frozen=True)
class PublishedRun:
    """A run that has ended."""

    record: Record
    paths: RunPaths
    storage: Storage
    config: Mapping[str, Any]
    """The job config, as plain values."""
    manifest: Mapping[str, Any]
    """Content of ``manifest.json`` without the row ranges, which take ten times the file's size in memory."""
    rows: Sequence[str]
    """URIs of the row files, in manifest order."""
    errors: Sequence[str]
    """URIs of the error row files; empty if another run has taken them over."""

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def fingerprint(self) -> str:
        return self.record.identity.fingerprint

    @property
    def committed_at(self) -> str:
        """Time of publication, UTC, ISO 8601; the opening time for runs of versions that did not record it."""
        return str(self.manifest.get("committed_at") or self.record.opened_at)

    @property
    def num_ok(self) -> int:
        return int(self.manifest["num_ok"])

    @property
    def num_errors(self) -> int:
        """Images that failed in this run, even if another run has taken over their error rows."""
        return int(self.manifest["num_errors"])

    @property
    def num_error_rows(self) -> int:
        """Rows in `errors`."""
        return self.num_errors if self.redriven_by is None else 0

    @property
    def redriven_by(self) -> str | None:
        """Id of the run that has taken over the error rows."""
        found = self.manifest.get("redriven_by")
        return None if found is None else str(found)

    @property
    def dataset_paths(self) -> list[str]:
        """`dataset.path`, as a list."""
        path = (self.config.get("dataset") or {}).get("path") or []
        return [path] if isinstance(path, str) else [str(one) for one in path]

    @cached_property
    def summary(self) -> Summary:
        """Sum of the receipts in the footers of all parts.

        Raises:
            JobError: a part is missing or damaged.
        """
        folders = {self.paths.rows: self.rows, self.paths.errors: self.errors}
        found = [part for folder in folders for part in find_parts(folder, self.storage, {})]
        named = {uri for uris in folders.values() for uri in uris}
        receipts = [part.receipt for part in found if part.receipt and part.uri in named]
        if num_missing := len(named) - len(receipts):
            raise JobError(
                f"{redacted(self.paths.run)}: {num_missing:,} of its parts are missing or damaged",
                fix=_verify(self.run_id),
            )
        return total(receipt.summary for receipt in receipts)

    @property
    def counters(self) -> dict[str, int]:
        """The task's counters over all rows, by name. Raises the same errors as `summary`."""
        return self.summary.counters

    @property
    def labels(self) -> list[str] | None:
        """Class names in order, if the model has any and their file still exists."""
        given = self.config["model"].get("labels")
        # Names stored in the config are written so that OmegaConf interpolates nothing.
        given = [str(name).replace(r"\${", "${") for name in given] if isinstance(given, list) else given
        try:
            return read_names(given, "model.labels", {})
        except (JobError, UnreachableError):
            return None

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yields the rows in tables of bounded size, with all columns or those of ``columns`` that exist in the run.

        Raises:
            JobError: a part is missing or damaged.
        """
        return self._read(self.rows, columns)

    def read_errors(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yields the error rows like `read`."""
        return self._read(self.errors, columns)

    def _read(self, parts: Sequence[str], columns: Sequence[str] | None) -> Iterator[pa.Table]:
        if parts:
            schema = part_schema(parts[0], self.storage)
            fields = [field for field in schema if columns is None or field.name in columns]
            yield from read_batches(parts, self.storage, pa.schema(fields))


def read_published(record: Record, root: str, storage: Storage) -> PublishedRun:
    """Reads the documents of a published run.

    Raises:
        JobError: a document is missing or damaged.
        OSError, obstore.exceptions.BaseError: storage cannot return it.
    """
    paths = RunPaths(root, record.identity.fingerprint, record.run_id)
    try:
        manifest = parse_object(
            storage.read(paths.manifest, max_bytes=MAX_BYTES), max_bytes=MAX_BYTES, convert=_without_ranges
        )
        rows, errors = _parts(manifest, "rows", paths.rows), _parts(manifest, "errors", paths.errors)
        errors = errors if manifest.get("redriven_by") is None else []
        return PublishedRun(record, paths, storage, _config(paths, storage), manifest, rows, errors)
    except (ValueError, LookupError, TypeError, FileNotFoundError) as error:
        raise JobError(
            f"{redacted(paths.run)}: its documents are damaged: {one_line(error)}", fix=_verify(record.run_id)
        ) from error


def _verify(run_id: str) -> str:
    return f"python -m jobs.verify output.path=… run.id={run_id} names all that is wrong"


def _config(paths: RunPaths, storage: Storage) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(storage.read(paths.config, max_bytes=MAX_BYTES))
    except yaml.YAMLError as error:
        raise ValueError(f"config.yaml: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("config.yaml: not an object")  # noqa: TRY004  callers expect one type of error
    return content


def _without_ranges(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "ranges"}


def _parts(manifest: Mapping[str, Any], key: str, folder: str) -> list[str]:
    files = [entry["file"] for entry in manifest[key]]
    # A name must not lead outside the run's folder.
    if strange := next((file for file in files if not PART_NAME.fullmatch(file)), None):
        raise ValueError(f"{strange!r:.100} is no name of a part")
    return [join(folder, file) for file in files]
