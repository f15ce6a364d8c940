"""Reads CSV and TSV files, and plain lists of paths, as tables of text. Runs on the driver."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from actors.errors import JobError
from actors.messages import redacted
from jobs.datasets.csv_dialect import Dialect, find_dialect
from jobs.datasets.kept_columns import find_field
from jobs.datasets.text_files import LineError, blocks, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobs.datasets.passed_over import PassedOver
    from jobs.datasets.text_files import TextFile


@dataclass
class Csv:
    """Format of CSV and TSV files."""

    delimiter: str | None = None
    """Character between fields, or ``tab``. By default a comma, and in TSV a tab."""
    quote: str = "auto"
    """Character that encloses values; none if quotes belong to the values; auto detects it."""
    header: bool = True
    """If true, the first line names the columns; otherwise they are named 1, 2 and so on."""
    encoding: str = "utf-8"
    """Encoding of the text, by its Python name, such as cp1252 or utf-16."""

    def check(self) -> None:
        """Raises JobError for an invalid setting."""
        if self.delimiter is not None and len(_NAMED.get(self.delimiter, self.delimiter)) != 1:
            raise JobError(
                f"dataset.csv.delimiter={self.delimiter}: not one character", fix="give one character, or tab"
            )
        if self.quote not in {"auto", "none"} and len(self.quote) != 1:
            raise JobError(f"dataset.csv.quote={self.quote}: not one character", fix="give one character, auto or none")
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise JobError(
                f"dataset.csv.encoding={self.encoding}: unknown encoding",
                fix="use a Python encoding, such as utf-8, cp1252 or utf-16",
            ) from error


@dataclass(frozen=True)
class CsvFile:
    """A file of records.

    Args:
        file: the text file.
        settings: its format.
        is_tsv: if true, tabs separate fields, and quotes may stay open.
    """

    file: TextFile
    settings: Csv
    is_tsv: bool

    def tables(self, keys: Mapping[str, str], passed_over: PassedOver) -> Iterator[pa.Table]:
        """Yields the columns in ``keys`` as text, null where a field is empty; the first table has no rows.

        Raises:
            JobError: a column is missing, or a line does not match the others.
        """
        with self.file.naming_lines(self.settings.encoding):
            names, is_small = self._first_names()
            schema = self._wanted(names, keys)
            dialect = self._dialect() if is_small else None  # so that `Dataset.check` finds its errors
            yield schema.empty_table()
            dialect = dialect or self._dialect()
            self._count_blank_lines(dialect, passed_over)
            num_rows = 0
            for table in self._read(dialect, keys):
                num_rows += len(table)
                yield table
        num_records = dialect.num_records - self.settings.header
        # Arrow accepts some malformed quotes and joins the lines between them: only the record counts reveal this.
        if num_rows != num_records:
            raise JobError(
                f"dataset.path={redacted(self.file.uri)}: {num_records:,} records, of which {num_rows:,} can be read",
                fix="save it again with every value in double quotes, or as Parquet",
            )

    @property
    def _delimiter(self) -> str:
        given = self.settings.delimiter
        return _NAMED.get(given, given) if given is not None else "\t" if self.is_tsv else ","

    def _first_names(self) -> tuple[list[str], bool]:
        """Returns the column names in the first line, and True if the file is small."""
        with self.file.open_text(self.settings.encoding) as text:
            block = next(blocks(text), None)
            is_small = not text.read(1)
        lines = [] if block is None else lines_of(block.text)
        first = next((line for line in lines if line.strip("\r\n")), None)
        if first is None:
            raise JobError(
                f"dataset.path={redacted(self.file.uri)}: the file is empty",
                fix="remove the file, or omit it with dataset.exclude",
            )
        quote = self.settings.quote
        try:
            if quote == "none":
                raise csv.Error  # noqa: TRY301  split as below
            reader = csv.reader(
                lines, delimiter=self._delimiter, quotechar='"' if quote == "auto" else quote, strict=True
            )
            record = next(record for record in reader if record)
        except csv.Error:
            record = first.strip("\r\n").split(self._delimiter)
        return record if self.settings.header else _numbers(len(record)), is_small

    def _wanted(self, names: list[str], keys: Mapping[str, str]) -> pa.Schema:
        schema = pa.schema([pa.field(name, pa.string()) for name in names])
        try:
            return pa.schema([find_field(schema, name, key=key, uri=self.file.uri) for name, key in keys.items()])
        except JobError as error:
            raise JobError(error.problem, fix=f"{error.fix}{self._other_settings(names)}") from error

    def _other_settings(self, names: list[str]) -> str:
        """Hint about a missing column."""
        if len(names) == 1 and (other := next((char for char in "\t;|" if char in names[0]), None)):
            name = {"\t": "tab"}.get(other, f"'{other}'")
            return f'; if {name} separates them, add "dataset.csv.delimiter={name}"'
        if self.settings.header:
            return "; if no line names them, add dataset.csv.header=false dataset.uri_column=1"
        return ""

    def _dialect(self) -> Dialect:
        with self.file.open_text(self.settings.encoding) as text:
            return find_dialect(text, self._delimiter, self.settings.quote, accepts_unclosed=self.is_tsv)

    def _count_blank_lines(self, dialect: Dialect, passed_over: PassedOver) -> None:
        for line in dialect.blank_lines:
            passed_over.add("blank line", f"{redacted(self.file.uri)}, line {line}")
        if more := dialect.num_blank - len(dialect.blank_lines):
            passed_over.add("blank line", redacted(self.file.uri), number=more)

    def _read(self, dialect: Dialect, keys: Mapping[str, str]) -> Iterator[pa.Table]:
        try:
            with self.file.open() as binary:
                reader = _arrow_reader(self._as_utf8(binary), dialect, keys, header=self.settings.header)
                self._wanted(reader.schema.names, keys)
                for batch in reader:
                    yield pa.Table.from_batches([batch])
        except pa.ArrowInvalid:
            with self.file.open_text(self.settings.encoding) as text:  # this parse finds the line
                find_dialect(text, self._delimiter, dialect.quote or "none", every_line=True)
            raise

    def _as_utf8(self, binary: Any) -> Any:
        is_utf8 = codecs.lookup(self.settings.encoding).name in {"utf-8", "utf-8-sig"}
        return binary if is_utf8 else pa.transcoding_input_stream(pa.PythonFile(binary), self.settings.encoding, "utf8")


@dataclass(frozen=True)
class PathsFile:
    """A file with one path or URI per line; every character except the line end belongs to it."""

    file: TextFile

    def tables(self, column: str, passed_over: PassedOver) -> Iterator[pa.Table]:
        """Yields one column of text, named ``column``.

        Raises:
            JobError: the first line is the header of a table, not a path.
        """
        yield pa.schema([(column, pa.string())]).empty_table()
        with self.file.naming_lines(), self.file.open_text() as text:
            for first, part in blocks(text):
                lines = [line.rstrip("\r\n") for line in part.removesuffix("\n").split("\n")]
                if first == 1:
                    self._refuse_header(lines[0], column)
                for number in (number for number, line in enumerate(lines, first) if not line):
                    passed_over.add("blank line", f"{redacted(self.file.uri)}, line {number}")
                yield pa.table({column: pa.array(filter(None, lines), pa.string())})

    def _refuse_header(self, line: str, column: str) -> None:
        if column in (entry.strip(' "') for entry in line.replace("\t", ",").replace(";", ",").split(",")):
            raise LineError(
                1,
                f"it names the column {column}, so this is not a plain list of paths",
                "add dataset.format=csv, or tsv",
            )


_NAMED = {"tab": "\t", "\\t": "\t"}
_BLOCK_BYTES = 8 << 20  # Arrow rejects a record larger than a block; its default is 1 MiB


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _arrow_reader(source: Any, dialect: Dialect, keys: Mapping[str, str], *, header: bool) -> pa_csv.CSVStreamingReader:
    return pa_csv.open_csv(
        source,
        read_options=pa_csv.ReadOptions(
            block_size=_BLOCK_BYTES,
            use_threads=False,
            column_names=None if header else _numbers(dialect.width),
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            newlines_in_values=dialect.has_breaks,
        ),
        convert_options=pa_csv.ConvertOptions(
            include_columns=list(keys),
            column_types=dict.fromkeys(keys, pa.string()),
            strings_can_be_null=True,
            null_values=[""],  # an image may be named NA or null
        ),
    )
