"""An output folder and its published runs. Read anywhere, without Ray and Hydra."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.outputs.published_run import PublishedRun, read_published
from actors.storage.store import Storage
from actors.storage.uris import absolute
from actors.writing.records import read_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from actors.writing.records import Record


def open_output(path: str, storage_options: Mapping[str, str] | None = None) -> Output:
    """Returns the output at `output.path`. Nothing is read yet.

    Args:
        path: folder, or prefix in an object store.
        storage_options: as `output.storage_options`.
    """
    return Output(absolute(path), Storage(dict(storage_options or {})))


@dataclass(frozen=True)
class Output:
    """The runs below ``root``. Runs that have not ended are never read."""

    root: str
    """URI of the output, absolute."""
    storage: Storage

    def records(self) -> Sequence[Record]:
        """Returns the records of all runs, published or not, the last opened first.

        Raises:
            JobError: storage does not give them.
        """
        with self._reading():
            return read_records(self.root, self.storage)

    def runs(self, model: str | None = None) -> Sequence[PublishedRun]:
        """Returns the published runs, or those of one model, the last committed first.

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
            raise JobError(f"{key}={model}: no published run has that model", cure=f"the models are {listed}")
        if model is None and len(models) > 1:
            raise JobError(
                f"{self._name}: has the rows of {len(models)} models: {listed}",
                cure=f"choose one with {key}=FINGERPRINT, or a single run by its id",
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
            cure=f"the latest published runs are {latest}" if latest else "give the output.path of a job",
        )

    @property
    def _name(self) -> str:
        return redacted(f"output.path={self.root}")

    def _published(self, records: Sequence[Record]) -> Sequence[Record]:
        if published := [record for record in records if record.is_published]:
            return published
        state = f"none of its {len(records)} runs is published" if records else "there are no runs below it"
        raise JobError(f"{self._name}: {state}", cure="give the output.path of a job that has ended")

    def _read(self, records: Sequence[Record]) -> Sequence[PublishedRun]:
        with self._reading(), ThreadPoolExecutor(_THREADS) as pool:
            runs = pool.map(lambda record: read_published(record, self.root, self.storage), records)
            return sorted(runs, key=lambda run: run.committed_at, reverse=True)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, BaseError) as error:
            raise JobError(
                f"{self._name}: cannot be read: {one_line(error)}",
                cure="give a folder or prefix that you may read, and its region and keys in output.storage_options",
            ) from error


_NUM_NAMED = 5  # runs in an error message
_THREADS = 4  # manifests in memory at once, of up to a gigabyte each
