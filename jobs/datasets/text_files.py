"""Text files of a dataset, compressed or not, read as numbered lines. Runs on the driver."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TextIO, cast

import pyarrow as pa

from actors.errors import JobError
from actors.messages import redacted
from jobs.datasets.listed_files import is_web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.storage.store import Storage

COMPRESSIONS = (".gz", ".bz2", ".zst", ".xz")


class LineError(ValueError):
    """Error in one line of a text file, with its fix."""

    def __init__(self, line: int, problem: str, fix: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem
        self.fix = fix


class TextFile:
    """A file that can be read more than once from its beginning.

    Args:
        uri: ends in one of `COMPRESSIONS` if the file is compressed.
        storage: storage of the file. A file from a web server is held in memory: many servers lack range requests.
    """

    def __init__(self, uri: str, storage: Storage) -> None:
        self.uri = uri
        self._storage = storage
        self._data = storage.read(uri) if is_web(uri) else None
        name = plain_name(uri)
        self._compression = next((suffix for suffix in COMPRESSIONS if name.endswith(suffix)), None)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the decompressed content. Raises OSError or EOFError if it is damaged."""
        with io.BytesIO(self._data) if self._data is not None else self._storage.open(self.uri) as raw:
            try:
                yield cast("BinaryIO", _decompressed(raw, self._compression))
            except (zlib.error, lzma.LZMAError) as error:
                raise OSError(str(error)) from error

    @contextmanager
    def open_text(self, encoding: str = "utf-8", errors: str = "strict") -> Iterator[TextIO]:
        """Opens the decoded text, with the original line ends and without a byte order mark."""
        with self.open() as binary:
            text = io.TextIOWrapper(binary, _without_bom(encoding), errors=errors, newline="")
            try:
                yield text
            finally:
                # Otherwise the wrapper closes ``binary``, which belongs to `open`.
                text.detach()

    @contextmanager
    def naming_lines(self, encoding: str = "utf-8") -> Iterator[None]:
        """Converts a LineError, and bytes that cannot be decoded, to a JobError that names file and line."""
        try:
            yield
        except LineError as error:
            problem = f"dataset.path={redacted(self.uri)}, {error}"
            raise JobError(problem, fix=error.fix) from error
        except UnicodeError as error:
            problem = f"dataset.path={redacted(self.uri)}, line {self._undecodable_line(encoding)}: not {encoding}"
            fix = "save it as UTF-8, or set dataset.csv.encoding of a CSV file, such as cp1252 or utf-16"
            raise JobError(problem, fix=fix) from error

    def _undecodable_line(self, encoding: str) -> int:
        line = 1
        with self.open_text(encoding, errors=_ESCAPING) as text:
            while chunk := text.read(_CHUNK_CHARS):
                escapes = [chunk.find(escape) for escape in _ESCAPES if escape in chunk]
                if escapes:
                    return line + chunk.count("\n", 0, min(escapes))
                line += chunk.count("\n")
        return line


class Block(NamedTuple):
    """Whole lines of a file."""

    line: int
    """Number of the first line, from 1."""
    text: str


def blocks(text: TextIO) -> Iterator[Block]:
    """Splits ``text`` into blocks of whole lines.

    Raises:
        LineError: a line is too long, or contains a NUL character.
    """
    line = 1
    while part := text.read(_CHUNK_CHARS):
        if not part.endswith("\n"):
            rest = text.readline(MAX_RECORD_CHARS)
            part += rest
            if len(rest) == MAX_RECORD_CHARS:
                raise LineError(line, "it has no end within 16 million characters", "check that this is a table")
        if "\0" in part:
            at = line + count_lines(part[: part.index("\0") + 1]) - 1
            fix = "correct that line; if the file is UTF-16, add dataset.csv.encoding=utf-16"
            raise LineError(at, "it holds a NUL character", fix)
        yield Block(line, part)
        line += count_lines(part)


def lines_of(text: str) -> list[str]:
    """Returns the lines of ``text`` with their CSV line ends: LF, CR or both."""
    return list(io.StringIO(text, newline=""))


def count_lines(text: str) -> int:
    """Number of lines that `lines_of` returns."""
    ends = text.count("\n")
    if "\r" in text:
        ends += text.count("\r") - text.count("\r\n")
    return ends + (not text.endswith(("\n", "\r")))


def plain_name(uri: str) -> str:
    """Returns the name that determines the format: without the query of a URL, in lower case."""
    return (uri.partition("?")[0] if is_web(uri) else uri).lower()


MAX_RECORD_CHARS = 1 << 24  # limits memory if a quote or a line never ends
_CHUNK_CHARS = 1 << 20  # decoded at a time
_ESCAPING = "backslashreplace"  # marks undecodable bytes; the same text in the file before them would be found first
_ESCAPES = tuple(f"\\x{byte:02x}" for byte in range(0x80, 0x100))


def _decompressed(raw: Any, compression: str | None) -> Any:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if compression == ".bz2":
        return bz2.BZ2File(raw)
    if compression == ".xz":
        return lzma.LZMAFile(raw)
    # The standard library supports zstd only from Python 3.14.
    return pa.CompressedInputStream(raw, "zstd") if compression else raw


def _without_bom(encoding: str) -> str:
    # Spreadsheets put a byte order mark before UTF-8, which would become part of the first column's name.
    return "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
