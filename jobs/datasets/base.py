"""What every dataset has: a config that checks itself, and a stream of entries. Runs on the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from actors.errors import JobError
from actors.shards import Layout  # noqa: TC001  OmegaConf evaluates the annotations of a config
from actors.storage import Storage
from jobs.datasets.passed_over import PassedOver
from jobs.datasets.paths import first_batch, paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


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
    """A path, glob or URI, or a list of these."""
    limit: int | None = None
    """Only so many images, the first that are listed."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """obstore's settings for where the images are, such as endpoint or region."""

    def check(self) -> None:
        """Looks at every path, and into the first file behind them.

        Raises:
            JobError: a path, a column or a file is not as the config says, or cannot be reached.
        """
        if self.limit is not None and self.limit < 0:
            raise JobError(f"dataset.limit={self.limit}: below zero", cure="leave it away to take every image")
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            for _ in pool.map(lambda path: first_batch(path, self.storage, self.suffixes()), self.paths()):
                pass
        next(self.tables())

    def entries(self) -> Iterator[pa.Table]:
        """The images in tables of one schema, of which there is at least one; never all names at once.

        The columns are those of `jobs.datasets.carried.entry_table`, the kept ones with types of their own.
        IMAGE_ID is URI where the dataset names no other column, or where that one is null. FILE, OFFSET and SIZE
        are as `layout` says. VERSION changes when the file does, or of a Parquet
        dataset its row group; it is null where storage does not tell.
        TARGET is null where an image has no label.

        Raises:
            JobError: as `check`, and for whatever is found to be wrong while listing.
        """
        self.passed_over.clear()
        missing = self.limit
        for table in self.tables():
            yield table.slice(0, missing)
            if missing is not None:
                missing -= min(missing, len(table))
                if not missing:
                    return

    def kept_columns(self) -> list[str]:
        """The names of the columns that are carried to the output."""
        return []

    def tables(self) -> Iterator[pa.Table]:
        """`entries` without the limit."""
        raise NotImplementedError

    def suffixes(self) -> list[str]:
        """What a file's name must end in to be taken from a folder, with the dot."""
        raise NotImplementedError

    def paths(self) -> list[str]:
        """`path` as absolute URIs."""
        return paths_of(self.path)

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
        """The storage that has the images."""
        return Storage(self.storage_options)


_NUM_THREADS = 16
