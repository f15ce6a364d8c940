"""Dataset of images in tar shards, as WebDataset writes them. Listed on the driver."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from actors.columns import FILE, OFFSET, SIZE, URI, VERSION
from actors.errors import JobError
from actors.messages import redacted
from actors.reading.shards import Layout
from jobs.datasets.base import Dataset
from jobs.datasets.image_kinds import EXTENSIONS, FIRST_EXTENSIONS, extra_extensions, unsupported_suffixes
from jobs.datasets.kept_columns import Carried, entry_table
from jobs.datasets.passed_over import COMPANION
from jobs.datasets.paths import container_files, naming
from jobs.datasets.tar import Member, TarSample, read_samples

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jobs.datasets.listed_files import File

LOG = logging.getLogger("shardlens")
_IMAGES = ";".join(EXTENSIONS)


@dataclass
class WebDataset(Dataset):
    """Lists the images of tars: files, folders or prefixes of ``*.tar``, globs. An image's URI is the tar's, ``#`` and
    the name.

    If a sample has members with suffixes in `image_column`, the first suffix named there is the image. Otherwise, each
    member whose suffix ends in a dot and one of them is an image, such as ``left.jpg``. Samples without an image are
    not listed; their number is logged.

    Other columns are strings: the text of the sample's member with that suffix, such as ``cls``, or the value of that
    key in its ``json`` member, as JSON unless it is a string; null if the sample has neither. The column ``__key__`` is
    the sample's path up to the first dot of the name.
    """

    layout: ClassVar[Layout] = Layout.RANGES

    kind: str = "webdataset"
    image_column: str = _IMAGES
    """Suffixes of images, the preferred one first, separated by semicolons."""
    id_column: str | None = None
    """Column of image ids; by default the URI."""
    label_column: str | None = None
    """Column of true labels, for the accuracy."""
    keep_columns: list[str] = field(default_factory=list)
    """Columns copied to the output."""

    def tables(self) -> Iterator[pa.Table]:
        carried = Carried(self.id_column, self.label_column, self.keep_columns)
        names = carried.names()
        schema = carried.schema(pa.schema([(name, pa.string()) for name in names]), self.kind)
        tally = _Tally()
        for file, images in self._chunks(names, tally):
            texts = _texts(images, names)
            if not tally.num_tables:
                _check_columns(texts, file.uri)
            tally.num_tables += 1
            yield entry_table({**_places(images, file), **carried.columns(texts, schema, file.uri)}, schema)
        tally.report(self)
        if not tally.num_tables:
            yield schema.empty_table()

    def suffixes(self) -> list[str]:
        return [".tar", ".tar.gz", ".tgz", ".tar.zst"]  # compressed tars are listed so that the job rejects them

    def kept_columns(self) -> list[str]:
        return self.keep_columns

    def identity(self) -> dict[str, Any]:
        # As in `ImagesDataset`: a suffix added later must not change the digest of earlier runs.
        default = {"image_column": ";".join(FIRST_EXTENSIONS)} if self.image_column == _IMAGES else {}
        return super().identity() | default

    def _chunks(self, names: Collection[str], tally: _Tally) -> Iterator[tuple[File, list[_Image]]]:
        storage = self.storage
        for file in container_files(self.paths(), storage, self.selection()):
            with naming(file.uri), storage.open(file.uri) as source:
                images = self._images(read_samples(source, file.uri, names, self.passed_over), file.uri, tally)
                while chunk := list(islice(images, _TABLE_ROWS)):
                    yield file, chunk

    def _images(self, samples: Iterable[TarSample], uri: str, tally: _Tally) -> Iterator[_Image]:
        endings = self._endings()
        for sample in samples:
            found = _find(sample, endings)
            tally.num_samples += 1
            tally.num_without += not found
            for ending, member in sample.members.items():
                if member not in found:
                    self.passed_over.add(COMPANION if found else _reason(ending), f"{uri}#{member.name}")
            yield from ((member, sample) for member in found)

    def _endings(self) -> list[str]:
        extras = extra_extensions() if self.image_column == _IMAGES else []
        endings = [ending.strip().lower().removeprefix(".") for ending in self.image_column.split(";")]
        return [ending for ending in (*endings, *extras) if ending]


_TABLE_ROWS = 256  # small, because `Dataset.check` reads that many
_Image = tuple[Member, TarSample]


@dataclass
class _Tally:
    num_tables: int = 0
    num_samples: int = 0
    num_without: int = 0

    def report(self, dataset: WebDataset) -> None:
        if self.num_without and self.num_without == self.num_samples:
            raise JobError(
                f"dataset.image_column={dataset.image_column}: no member of the tars has such a suffix; "
                f"skipped: {dataset.passed_over}",
                fix="name the suffixes of the images, separated by semicolons",
            )
        if self.num_without:
            LOG.warning("%s of %s samples have no image and are not listed", self.num_without, self.num_samples)


def _reason(ending: str) -> str:
    return "unsupported" if f".{ending}".endswith(tuple(unsupported_suffixes())) else "extension"


def _find(sample: TarSample, endings: Sequence[str]) -> list[Member]:
    for ending in endings:
        if ending in sample.members:
            return [sample.members[ending]]
    longer = tuple(f".{ending}" for ending in endings)
    return [member for ending, member in sample.members.items() if ending.endswith(longer)]


def _texts(images: Sequence[_Image], names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([sample.texts.get(name) for _, sample in images], pa.string()) for name in names})


def _places(images: Sequence[_Image], file: File) -> dict[str, Any]:
    return {
        URI: pa.array([f"{file.uri}#{member.name}" for member, _ in images]),
        FILE: pa.repeat(file.uri, len(images)),
        OFFSET: pa.array([member.offset for member, _ in images], pa.int64()),
        SIZE: pa.array([member.size for member, _ in images], pa.int64()),
        VERSION: pa.repeat(pa.scalar(file.version, pa.string()), len(images)),
    }


def _check_columns(texts: pa.Table, uri: str) -> None:
    for name in texts.column_names:
        if texts[name].null_count == len(texts):
            raise JobError(
                f"dataset: none of the first {len(texts)} images of {redacted(uri)} has {name}",
                fix="id_column, label_column and keep_columns name suffixes of members, or keys of the json member",
            )
