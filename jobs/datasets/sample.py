"""The handwritten digits that come with the package. Listed on the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

from actors.shards import Layout
from jobs.datasets.base import Dataset
from jobs.datasets.parquet import ParquetDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


@dataclass
class SampleDataset(Dataset):
    """The 1,797 digits of the UCI set; those that the sample model was not trained on have a label."""

    layout: ClassVar[Layout] = Layout.ROWS
    image_column: ClassVar[str] = "image"

    kind: str = "sample"
    path: str = ""
    """The file of the package; another one with the same columns may be named."""
    keep_columns: list[str] = field(default_factory=lambda: ["digit", "split"])
    """Columns that are carried to the output: digit is the truth, split is train or test."""

    def tables(self) -> Iterator[pa.Table]:
        digits = ParquetDataset(
            path=self.paths(),
            label_column="test_label",
            keep_columns=self.keep_columns,
            storage_options=self.storage_options,
        )
        return digits.tables()

    def suffixes(self) -> list[str]:
        return [".parquet"]

    def kept_columns(self) -> list[str]:
        return self.keep_columns

    def paths(self) -> list[str]:
        return [self.path or str(files("actors.sample") / "digits.parquet")]
