"""An output folder and its published runs. Readable anywhere, without Ray and Hydra."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from obstore.exceptions import BaseError

from actors.columns import ERROR_FIELDS, PARTITIONS
from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs.newest import newest_rows
from actors.outputs.published_run import PublishedRun, read_published
from actors.outputs.row_batches import read_schema, run_batches
from actors.outputs.view import View
from actors.storage.store import Storage
from actors.storage.uris import absolute
from actors.writing.records import read_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.writing.records import Record


def open_output(path: str, storage_options: Mapping[str, str] | None = None) -> Output:
    """Returns the output at `output.path`. Reads nothing yet.

    Args:
        path: folder, or object store prefix.
        storage_options: see `output.storage_options`.
    """
    return Output(absolute(path), Storage(dict(storage_options or {})))


@dataclass(frozen=True)
class Output:
    """The runs below ``root``. Unfinished runs are never read."""

    root: str
    """Absolute URI of the output."""
    storage: Storage

    def records(self) -> Sequence[Record]:
        """Returns the records of all runs, published or not, most recently opened first.

        Raises:
            JobError: storage cannot return them.
        """
        with self.reading():
            return read_records(self.root, self.storage)

    def runs(self, model: str | None = None) -> Sequence[PublishedRun]:
        """Returns the published runs of all models or one, most recently committed first.

        Args:
            model: fingerprint.

        Raises:
            JobError: there is none, or its documents are damaged.
        """
        published = self._published(self.records())
        return self._read([record for record in published if model in (None, record.identity.fingerprint)])

    def runs_of_one_model(self, model: str | None = None, *, key: str = "model") -> Sequence[PublishedRun]:
        """Returns `runs` of ``model``, which may be None if all published runs have the same one.

        Args:
            model: fingerprint.
            key: name of the user's key for ``model`` in error messages.

        Raises:
            JobError: there is none, several models would be mixed, or a run is damaged.
        """
        published = self._published(self.records())
        models = Counter(record.identity.fingerprint for record in published)
        listed = ", ".join(f"{name} ({number} run{'s' * (number > 1)})" for name, number in models.items())
        if model is not None and model not in models:
            raise JobError(f"{key}={model}: no published run has that model", fix=f"the models are {listed}")
        if model is None and len(models) > 1:
            raise JobError(
                f"{self.name}: has the rows of {len(models)} models: {listed}",
                fix=f"choose one with {key}=FINGERPRINT, or a single run by its id",
            )
        return self._read([record for record in published if model in (None, record.identity.fingerprint)])

    def run(self, run_id: str, *, key: str = "run") -> PublishedRun:
        """Returns a published run.

        Args:
            run_id: its id.
            key: name of the user's key for ``run_id`` in error messages.

        Raises:
            JobError: there is no such run, it is not published, or its documents are damaged.
        """
        records = self.records()
        published = [record for record in records if record.is_published]
        if found := [record for record in published if record.run_id == run_id]:
            return self._read(found)[0]
        is_open = any(record.run_id == run_id for record in records)
        state = "that run is not published" if is_open else f"there is no such run below {redacted(self.root)}"
        latest = ", ".join(record.run_id for record in published[:_NUM_NAMED])
        raise JobError(
            f"{key}={run_id}: {state}",
            fix=f"the latest published runs are {latest}" if latest else "give the output.path of a job",
        )

    def newest(self, model: str | None = None) -> View:
        """Returns the newest row of each image across the runs of one model.

        A run supersedes earlier committed runs for the images it has rows for. Reading writes 28 bytes per row to the
        temporary folder.

        Args:
            model: fingerprint; required only if the output has several models.

        Raises:
            JobError: there is no run, several models would be mixed, or no run has rows.
        """
        runs = self.runs_of_one_model(model)

        def read(schema: pa.Schema) -> Iterator[pa.Table]:
            with newest_rows(runs, self.storage) as newest, closing(newest.batches(schema)) as batches:
                yield from batches

        return View(_with_partitions(read_schema(runs, self.storage)), read)

    def rows(self, model: str | None = None, run: str | None = None) -> View:
        """Returns the rows of one run, or of all runs of one model. Raises the same errors as `newest`.

        Args:
            model: fingerprint.
            run: run id.
        """
        runs = self.runs_of_one_model(model) if run is None else [self.run(run)]
        return View(
            _with_partitions(read_schema(runs, self.storage)), lambda schema: self._tables(runs, schema, "rows")
        )

    def errors(self, model: str | None = None, run: str | None = None) -> View:
        """Returns the error rows that no later run has retried, for all models, one model, or one run.

        Args:
            model: fingerprint.
            run: run id.

        Raises:
            JobError: there is no run.
        """
        runs = self.runs(model) if run is None else [self.run(run)]
        return View(_with_partitions(pa.schema(ERROR_FIELDS)), lambda schema: self._tables(runs, schema, "errors"))

    def _tables(self, runs: Sequence[PublishedRun], schema: pa.Schema, folder: str) -> Iterator[pa.Table]:
        for run in runs:
            yield from run_batches(run, getattr(run, folder), self.storage, schema)

    @property
    def name(self) -> str:
        """Name for messages, without secrets."""
        return redacted(f"output.path={self.root}")

    def _published(self, records: Sequence[Record]) -> Sequence[Record]:
        if published := [record for record in records if record.is_published]:
            return published
        state = f"none of its {len(records)} runs is published" if records else "there are no runs below it"
        raise JobError(f"{self.name}: {state}", fix="give the output.path of a job that has ended")

    def _read(self, records: Sequence[Record]) -> Sequence[PublishedRun]:
        with self.reading(), ThreadPoolExecutor(_THREADS) as pool:
            runs = pool.map(lambda record: read_published(record, self.root, self.storage), records)
            return sorted(runs, key=lambda run: run.committed_at, reverse=True)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Converts storage errors in the block to `JobError`."""
        try:
            yield
        except (OSError, BaseError) as error:
            raise JobError(
                f"{self.name}: cannot be read: {one_line(error)}",
                fix="use a readable folder or prefix, and set its region and credentials in output.storage_options",
            ) from error


def _with_partitions(schema: pa.Schema) -> pa.Schema:
    return pa.schema([*schema, *(pa.field(name, pa.string()) for name in PARTITIONS)])


_NUM_NAMED = 5  # runs named in an error message
_THREADS = 4  # manifests in memory at once, of up to a gigabyte each
