"""Interface of the formats, each of which receives rows in batches and writes files. Runs on the driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import pyarrow.types as pt

from actors.errors import JobError
from jobs.conversion.names import file_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from jobs.conversion.coco_ids import GivenIds
    from jobs.conversion.config import Convert
    from jobs.conversion.destination import Files

NAME = "_name"
"""Column with the name of each image, from `jobs.conversion.names`; added to the rows of every batch."""
MASK = "mask"


@dataclass
class Tally:
    """Rows by outcome. ``num_read = num_written + sum(left_out.values())``."""

    num_read: int = 0
    num_written: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows by reason."""
    notes: Counter[str] = field(default_factory=Counter)
    """Other counts to report, such as omitted boxes."""
    columns_left_out: Sequence[str] = ()


@dataclass(frozen=True)
class Context:
    """The inputs of a writer."""

    schema: pa.Schema
    options: Convert
    files: Files
    tally: Tally
    coco_ids: GivenIds | None = None
    """Ids of `convert.annotations`, if given."""


class Writer(ABC):
    """Writes one format. Created after `columns` has accepted the rows."""

    about: ClassVar[str]
    """One-line summary."""

    def __init__(self, context: Context) -> None:
        self.schema, self.options, self.files = context.schema, context.options, context.files
        self.tally = context.tally

    @classmethod
    @abstractmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        """Returns the columns of ``schema`` to read. Raises `JobError` if the rows do not fit the format."""

    @abstractmethod
    def write(self, rows: pa.Table) -> None:
        """Writes a batch, and counts its rows in the tally."""

    @abstractmethod
    def close(self) -> None:
        """Completes the files, after the last batch."""

    def abort(self) -> None:  # noqa: B027  most have nothing to do
        """Releases the files after an error, for removal."""


def needs(schema: pa.Schema, names: Sequence[str], *, to: str, fix: str) -> None:
    """Raises `JobError` unless ``schema`` has the columns ``names``."""
    missing = [name for name in names if name not in schema.names]
    if missing:
        raise JobError(f"to={to}: the rows have no column {' or '.join(missing)}", fix=fix)


def is_mask(schema: pa.Schema) -> bool:
    """Returns True if the rows have a PNG class map for each image."""
    return MASK in schema.names and pt.is_binary(schema.field(MASK).type)


def put_masks(files: Files, rows: pa.Table, folder: str) -> list[str | None]:
    """Writes the masks of ``rows`` as PNG files below ``folder``; returns their names, null if there is no mask."""
    images = list(zip(rows[NAME].to_pylist(), rows[MASK].to_pylist(), strict=True))
    wanted = [((f"{folder}/{name}" for name in file_names(image, ".png")), png) for image, png in images if png]
    names = iter(files.put_all(wanted))
    return [next(names) if png else None for _, png in images]
