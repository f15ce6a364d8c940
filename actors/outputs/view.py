"""Rows of an output for data tools: Arrow, pandas, Polars, DuckDB, Hugging Face datasets, PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.columns import IMAGE_ID
from actors.errors import JobError
from actors.outputs.row_dataset import RowDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    import duckdb

    Filters = Sequence[tuple[str, str, Any]]


@dataclass(frozen=True)
class View:
    """A lazy view of rows. Each method reads them again and accepts two restrictions.

    ``columns`` lists the columns to read, in order; default: all. ``filters`` lists conditions combined by "and", as in
    pandas and Arrow: ``[("score", "<", 0.5), ("label", "in", ["cat", "dog"])]``.
    """

    schema: pa.Schema
    """All columns, with the partitions ``model`` (fingerprint) and ``run`` (run id) last."""
    read: Callable[[pa.Schema], Iterator[pa.Table]]
    """Yields the rows with the columns of a part of `schema`."""

    def batches(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> Iterator[pa.Table]:
        """Yields tables of at most a few thousand rows, in bounded memory.

        Raises:
            JobError: a column does not exist, or a part is missing or damaged.
        """
        names = self.schema.names if columns is None else list(columns)
        tested = [name for name, _, _ in filters or ()]
        if strange := [name for name in (*names, *tested) if name not in self.schema.names]:
            raise JobError(f"columns: there is no column {strange[0]}", fix=f"there are {', '.join(self.schema.names)}")
        condition = pq.filters_to_expression(list(filters)) if filters else None
        # A table without columns would lose its number of rows.
        read = {*names, *tested, IMAGE_ID}
        for table in self.read(pa.schema([field for field in self.schema if field.name in read])):
            found = table if condition is None else table.filter(condition)
            if len(found):
                yield found.select(names)

    def reader(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> pa.RecordBatchReader:
        """Returns `batches` as an Arrow stream, which can be read once."""
        batches = (batch for table in self.batches(columns, filters) for batch in table.to_batches())
        return pa.RecordBatchReader.from_batches(self._schema(columns), batches)

    def to_arrow(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> pa.Table:
        """Returns all rows in memory."""
        return pa.concat_tables([self._schema(columns).empty_table(), *self.batches(columns, filters)])

    def to_pandas(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> Any:
        """Returns all rows as a `pandas.DataFrame`."""
        _optional("pandas")  # Arrow imports it
        return self.to_arrow(columns, filters).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> Any:
        """Returns all rows as a `polars.DataFrame`."""
        return _optional("polars").DataFrame(self.to_arrow(columns, filters))

    def to_duckdb(
        self,
        columns: Sequence[str] | None = None,
        filters: Filters | None = None,
        *,
        connection: duckdb.DuckDBPyConnection | None = None,
        table: str = "predictions",
    ) -> duckdb.DuckDBPyRelation:
        """Copies the rows into a new DuckDB table in bounded memory, and returns it.

        Args:
            columns: as above.
            filters: as above.
            connection: database for the table; by default, a new one in memory.
            table: name of the table.
        """
        import duckdb  # noqa: PLC0415  tens of milliseconds

        database = connection or duckdb.connect()
        database.from_arrow(self.reader(columns, filters)).create(table)
        return database.table(table)

    def to_hugging_face(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> Any:
        """Returns all rows as a `datasets.Dataset`."""
        return _optional("datasets").Dataset(self.to_arrow(columns, filters))

    def to_torch(self, columns: Sequence[str] | None = None, filters: Filters | None = None) -> RowDataset:
        """Returns all rows as a map-style dataset for `torch.utils.data.DataLoader`."""
        return RowDataset(self.to_arrow(columns, filters))

    def _schema(self, columns: Sequence[str] | None) -> pa.Schema:
        names = self.schema.names if columns is None else columns
        return pa.schema([self.schema.field(name) for name in names if name in self.schema.names])


def _optional(package: str) -> ModuleType:
    """Imports ``package``. Raises `JobError` if it is missing."""
    try:
        return import_module(package)
    except ImportError as error:
        raise JobError(f"the package {package} is not installed: {error}", fix=f"pip install {package}") from error
