"""Base class of datasets: a config that checks itself, and a stream of entries. Runs on the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.errors import JobError
from actors.messages import redacted
from actors.reading.ordered_requests import CONCURRENCY
from actors.reading.shards import Layout  # noqa: TC001  OmegaConf evaluates the annotations of a config
from actors.storage.allowlist import Allowlist
from actors.storage.store import Storage
from jobs.datasets.braces import expand
from jobs.datasets.kept_columns import entry_schema
from jobs.datasets.passed_over import PassedOver
from jobs.datasets.paths import first_batch, naming, paths_of
from jobs.datasets.selection import Selection, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator


LATER = {"later": True}
"""Metadata of a key that was added after the first outputs; see `Dataset.identity`."""


@dataclass
class Dataset:
    """Source of the images, and of the columns that travel with them.

    A subclass declares in `layout` how workers locate its images; its `tables` must satisfy the contract of `entries`.
    """

    layout: ClassVar[Layout]

    kind: str = "???"
    """Name of the dataset on the command line."""
    path: Any = "???"
    """A path, glob or URI, or a list of these; ``{0000..0099}`` and ``{a,b}`` expand as in a shell."""
    limit: int | None = None
    """Maximum number of images; the first ones listed are used."""
    include: list[str] = field(default_factory=list, metadata=LATER)
    """Globs on the path below `path`: only matching files of a folder are listed, including hidden ones."""
    exclude: list[str] = field(default_factory=list, metadata=LATER)
    """Globs on the path below `path`: matching files and everything below matching folders are omitted."""
    unreadable: Unreadable = field(default=Unreadable.error, metadata=LATER)
    """Action for a folder below `path` that cannot be read: error ends the job, skip omits the folder."""
    allow_empty: bool = field(default=False, metadata=LATER)
    """If true, a dataset without any file or line succeeds at once (exit status 0); otherwise it is an error (2)."""
    allow: list[str] = field(default_factory=list, metadata=LATER)
    """URI prefixes and local folders from which images may be read; any other image becomes an error row. By default
    all are allowed. Tars and Parquet files with images are named by `path`."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """obstore settings for the storage of the images, such as endpoint or region."""
    read_concurrency: int = CONCURRENCY
    """Requests that a worker keeps in flight for images on remote storage, whether single files or tar members; raise
    it for high latency, lower it for a server that limits connections."""

    def check(self) -> None:
        """Checks every path, and the content of the first file.

        Raises:
            JobError: a path, column or file does not match the config, or cannot be reached.
        """
        if self.limit is not None and self.limit < 0:
            raise JobError(f"dataset.limit={self.limit}: below zero", fix="omit it to list every image")
        if not 1 <= self.read_concurrency <= _MAX_CONCURRENCY:
            raise JobError(
                f"dataset.read_concurrency={self.read_concurrency}: not from 1 to {_MAX_CONCURRENCY}",
                fix="omit it, or give a number in that range",
            )
        Allowlist.parse(self.allow)
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for _ in pool.map(lambda path: first_batch(path, self.storage, self.selection()), self.paths()):
                pass
        # The first table needs only the schema or head of the first file: a wrong column ends the job before Ray
        # starts.
        next(self.tables())

    def entries(self) -> Iterator[pa.Table]:
        """Streams the images in tables of one schema, at least one; never holds all names in memory.

        The columns are those of `jobs.datasets.kept_columns.entry_table`, and the kept ones with their types. IMAGE_ID
        is URI if the dataset names no other column, and where that column is null. FILE, OFFSET and SIZE follow
        `layout`. VERSION changes with the file, or with the row group of a Parquet dataset; it is null if storage does
        not know it. TARGET is null if an image has no label.

        Raises:
            JobError: as in `check`, for errors found while listing, or if there are no images.
        """
        # `check` has already listed some of the same files.
        self.passed_over.clear()
        missing, is_empty = self.limit, True
        for table in self.tables():
            is_empty = is_empty and not len(table)
            # Even a limit of 0 yields one table, since the inventory takes its schema from it.
            yield table.slice(0, missing)
            if missing is not None:
                missing -= min(missing, len(table))
                if not missing:
                    return
        if is_empty:
            self._refuse_nothing()

    def kept_columns(self) -> list[str]:
        """Names of the columns copied to the output."""
        return []

    def tables(self) -> Iterator[pa.Table]:
        """Like `entries`, without the limit."""
        raise NotImplementedError

    def no_entries(self) -> pa.Table:
        """Table of a dataset without any file; the types of its columns are unknown."""
        kept = [pa.field(name, pa.string()) for name in self.kept_columns()]
        return entry_schema(has_target=getattr(self, "label_column", None) is not None, kept=kept).empty_table()

    def suffixes(self) -> list[str]:
        """Suffixes of files that are listed from a folder, with the dot."""
        raise NotImplementedError

    def unsupported(self) -> list[str]:
        """Suffixes of images that cannot be read here."""
        return []

    def selection(self) -> Selection:
        """Rule for the files below `path` to list; it counts the others in `passed_over`."""
        return Selection(
            suffixes=self.suffixes(),
            include=self.include,
            exclude=self.exclude,
            unreadable=Unreadable(self.unreadable),
            allow_empty=self.allow_empty,
            unsupported=self.unsupported(),
            passed_over=self.passed_over,
        )

    def paths(self) -> list[str]:
        """Returns `path` as absolute URIs with braces expanded, except in names that exist."""
        return [found for path in paths_of(self.path) for found in self._expand(path)]

    @cached_property
    def passed_over(self) -> PassedOver:
        """Files and lines that `entries` has skipped so far. Code in `tables` that skips one adds it here."""
        return PassedOver()

    def identity(self) -> dict[str, Any]:
        """Identity of the dataset: all keys except the storage settings and the number of concurrent requests.

        Omits a `LATER` key at its default, so that runs opened before the key existed can be resumed.
        """
        content = asdict(self) | {"path": self.paths(), "storage_options": None}
        del content["read_concurrency"]
        untouched = type(self)()
        for name in [item.name for item in fields(self) if "later" in item.metadata]:
            if getattr(self, name) == getattr(untouched, name):
                del content[name]
        return content

    @property
    def storage(self) -> Storage:
        """Storage of the files that `path` names."""
        return Storage(self.storage_options)

    @property
    def image_storage(self) -> Storage:
        """Storage of the images; refuses those that `allow` excludes."""
        return Storage(self.storage_options, allow=Allowlist.parse(self.allow) if self.allow else None)

    def _expand(self, path: str) -> list[str]:
        expanded = expand(path)
        if len(expanded) == 1:
            return [path]
        with naming(path):
            return expanded if self.storage.kind(path) is None else [path]

    def _refuse_nothing(self) -> None:
        """Raises JobError for a dataset without images, unless it is empty and may be."""
        if self.allow_empty and not self.passed_over.num_visible:
            return
        if self.passed_over.total:
            raise JobError(
                f"dataset.path={redacted(str(self.path))}: every file there is skipped: {self.passed_over}",
                fix=next((fix for reason, fix in _FIXES.items() if reason in self.passed_over.counts), _OTHER_FIX),
            )
        raise JobError(
            f"dataset.path={redacted(str(self.path))}: the dataset is empty",
            fix="name another path, or set dataset.allow_empty=true if there may be no images yet",
        )


_NUM_THREADS = 16  # paths checked concurrently, with one or two requests each
_MAX_CONCURRENCY = 100  # default limit of connections in an aiohttp session
_OTHER_FIX = "name another path, or fix the files; dataset.extensions lists the suffixes of images"
_HIDDEN_FIX = "include such names with dataset.include, such as dataset.include=['**'], or rename them"
_FIXES = {  # the most informative reason first
    "unsupported": "convert them, or install a decoder: pip install 'shardlens[heif]' or 'shardlens[jxl]'",
    "unreadable": "give this user the right to read the folders",
    "excluded": "change dataset.exclude",
    "not included": "change dataset.include",
    "hidden": _HIDDEN_FIX,
    "underscore": _HIDDEN_FIX,
}
