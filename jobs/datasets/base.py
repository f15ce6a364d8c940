"""What every dataset has: a config that checks itself, and a stream of entries. Runs on the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.errors import JobError
from actors.messages import redacted
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
"""The metadata of a key that came when there were outputs already; see `Dataset.identity`."""


@dataclass
class Dataset:
    """Where images come from, and what is carried along.

    A subclass says with `layout` how workers find its images, and gives in `tables` what `entries` promises.
    """

    layout: ClassVar[Layout]

    kind: str = "???"
    """What the dataset is called on the command line."""
    path: Any = "???"
    """A path, glob or URI, or a list of these; ``{0000..0099}`` and ``{a,b}`` stand for several, as in a shell."""
    limit: int | None = None
    """Only so many images, the first that are listed."""
    include: list[str] = field(default_factory=list, metadata=LATER)
    """Globs on the path below `path`: of folders only what fits one of them is taken, hidden names too."""
    exclude: list[str] = field(default_factory=list, metadata=LATER)
    """Globs on the path below `path`: what fits one of them is left out, as is all below a folder that does."""
    unreadable: Unreadable = field(default=Unreadable.error, metadata=LATER)
    """What becomes of a folder below `path` that cannot be read: it ends the job, or is passed over."""
    allow_empty: bool = field(default=False, metadata=LATER)
    """Whether a dataset without any file or line is done at once (exit status 0), or a mistake (2)."""
    allow: list[str] = field(default_factory=list, metadata=LATER)
    """Prefixes of URIs and local folders: an image of another place is not read, and is an error; without any, all are
    allowed. Files that hold images are what `path` says."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """obstore's settings for where the images are, such as endpoint or region."""

    def check(self) -> None:
        """Looks at every path, and into the first file behind them.

        Raises:
            JobError: a path, a column or a file is not as the config says, or cannot be reached.
        """
        if self.limit is not None and self.limit < 0:
            raise JobError(f"dataset.limit={self.limit}: below zero", cure="leave it away to take every image")
        Allowlist.parse(self.allow)
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for _ in pool.map(lambda path: first_batch(path, self.storage, self.selection()), self.paths()):
                pass
        next(self.tables())

    def entries(self) -> Iterator[pa.Table]:
        """The images in tables of one schema, of which there is at least one; never all names at once.

        The columns are those of `jobs.datasets.kept_columns.entry_table`, the kept ones with types of their own.
        IMAGE_ID is URI where the dataset names no other column, or where that one is null. FILE, OFFSET and SIZE
        are as `layout` says. VERSION changes when the file does, or of a Parquet
        dataset its row group; it is null where storage does not tell.
        TARGET is null where an image has no label.

        Raises:
            JobError: as `check`, for whatever is found to be wrong while listing, and where it comes to nothing.
        """
        self.passed_over.clear()
        missing, is_empty = self.limit, True
        for table in self.tables():
            is_empty = is_empty and not len(table)
            yield table.slice(0, missing)
            if missing is not None:
                missing -= min(missing, len(table))
                if not missing:
                    return
        if is_empty:
            self._refuse_nothing()

    def kept_columns(self) -> list[str]:
        """The names of the columns that are carried to the output."""
        return []

    def tables(self) -> Iterator[pa.Table]:
        """`entries` without the limit."""
        raise NotImplementedError

    def no_entries(self) -> pa.Table:
        """The table of a dataset without any file, whose columns have no known types."""
        kept = [pa.field(name, pa.string()) for name in self.kept_columns()]
        return entry_schema(has_target=getattr(self, "label_column", None) is not None, kept=kept).empty_table()

    def suffixes(self) -> list[str]:
        """What a file's name must end in to be taken from a folder, with the dot."""
        raise NotImplementedError

    def unsupported(self) -> list[str]:
        """What the names of images end in that cannot be read here."""
        return []

    def selection(self) -> Selection:
        """What counts of the files below `path`; counts the others in `passed_over`."""
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
        """`path` as absolute URIs, braces expanded but where they stand in a name that exists."""
        return [found for path in paths_of(self.path) for found in self._expand(path)]

    @cached_property
    def passed_over(self) -> PassedOver:
        """What `entries` has passed over so far. Whoever skips a file or a line in `tables` adds it here."""
        return PassedOver()

    def identity(self) -> dict[str, Any]:
        """What makes two configs the same dataset: all of it, save the settings of storage.

        A `LATER` key at its default is left out, so that runs from before there was such a key are gone on with.
        """
        content = asdict(self) | {"path": self.paths(), "storage_options": None}
        untouched = type(self)()
        for name in [item.name for item in fields(self) if "later" in item.metadata]:
            if getattr(self, name) == getattr(untouched, name):
                del content[name]
        return content

    @property
    def storage(self) -> Storage:
        """The storage of what `path` names."""
        return Storage(self.storage_options)

    @property
    def image_storage(self) -> Storage:
        """The storage that has the images, which gives no others than `allow` says."""
        return Storage(self.storage_options, allow=Allowlist.parse(self.allow) if self.allow else None)

    def _expand(self, path: str) -> list[str]:
        expanded = expand(path)
        if len(expanded) == 1:
            return [path]
        with naming(path):
            return expanded if self.storage.kind(path) is None else [path]

    def _refuse_nothing(self) -> None:
        """Raises JobError: a dataset without images is a mistake, unless it may be empty and is."""
        if self.allow_empty and not self.passed_over.num_visible:
            return
        if self.passed_over.total:
            raise JobError(
                f"dataset.path={redacted(str(self.path))}: none of what is there is taken: {self.passed_over}",
                cure=next((cure for reason, cure in _CURES.items() if reason in self.passed_over.counts), _OTHER_CURE),
            )
        raise JobError(
            f"dataset.path={redacted(str(self.path))}: the dataset is empty",
            cure="name another path; for a job that may find nothing yet, dataset.allow_empty=true",
        )


_NUM_THREADS = 16
_OTHER_CURE = "name another path, or mend what is there; dataset.extensions says which names are those of images"
_HIDDEN_CURE = "take in such names with dataset.include, such as dataset.include=['**'], or rename them"
_CURES = {  # the most telling reason first
    "unsupported": "convert the images, or install what reads them: pip install 'shardlens[heif]' or 'shardlens[jxl]'",
    "unreadable": "give this user the right to read the folders",
    "excluded": "change dataset.exclude",
    "not included": "change dataset.include",
    "hidden": _HIDDEN_CURE,
    "underscore": _HIDDEN_CURE,
}
