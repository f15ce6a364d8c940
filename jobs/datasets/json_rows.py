"""Reads values from JSON Lines, or of one JSON array of objects, as text exactly as written. Runs on the driver."""

from __future__ import annotations

import io
import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import pyarrow as pa

from jobs.datasets.text_files import LineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jobs.datasets.passed_over import PassedOver


class Row(NamedTuple):
    """One object of a file."""

    line: int
    """Line on which it begins, from 1."""
    text: str
    values: dict[str, Any]
    """Values; numbers and NaN keep their text."""


def json_rows(text: TextIO, *, may_be_array: bool, name: str, passed_over: PassedOver) -> Iterator[Row]:
    """Yields the objects of ``text``, one per line, or, if ``may_be_array`` and the text starts with a bracket, the
    elements of one array.

    Blank lines are skipped, and counted as "blank line" of the file ``name``.

    Raises:
        LineError: a value is not an object, or the file ends within one.
    """
    head = text.read(_CHUNK_CHARS) if may_be_array else ""
    if head.lstrip().startswith("["):
        yield from _elements(text, head)
        return
    lines = chain(io.StringIO(head + text.readline(), newline="\n"), text) if head else iter(text)
    for number, line in enumerate(lines, 1):
        if line.isspace():
            passed_over.add("blank line", f"{name}, line {number}")
        else:
            yield Row(number, line, _decoded(line, number))


def tables_of(rows: Iterable[Row], names: Sequence[str], unseen: set[str]) -> Iterator[pa.Table]:
    """Yields the values of the keys ``names`` as string columns: strings unchanged, other values as written in JSON.

    Null and missing values are null. A lone surrogate becomes U+FFFD.

    Args:
        rows: grouped into tables.
        names: the columns, in this order.
        unseen: names found as keys in any row are removed from it.
    """
    columns: list[list[str | None]] = [[] for _ in names]
    for row in rows:
        for name, column in zip(names, columns, strict=True):
            value = row.values.get(name)
            column.append(value if value is None or type(value) is str else _written(row.text, name, value))
        if unseen:
            unseen.difference_update(row.values)
        if len(columns[0]) == _TABLE_ROWS:
            yield pa.table([_array(column) for column in columns], list(names))
            columns = [[] for _ in names]
    yield pa.table([_array(column) for column in columns], list(names))


_TABLE_ROWS = 20_000  # a few MB of URIs
_CHUNK_CHARS = 1 << 20  # read at a time
_MAX_CHARS = 1 << 26  # of one element: after a broken one, the rest of the file would be read into memory
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")


# Python silently keeps the last of duplicate keys.
def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {json.dumps(twice)} appears twice in one object")
    return values


# Numbers stay text: a 20-digit id does not fit a float, and 1.10 would become 1.1.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique)


def _decoded(text: str, line: int) -> dict[str, Any]:
    try:
        values = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _broken(line, error) from error
    return _checked(values, line)


def _checked(values: object, line: int) -> dict[str, Any]:
    if isinstance(values, dict):
        return values
    raise LineError(line, "not a JSON object", 'write one object per line, such as {"uri": "a.jpg"}')


def _broken(line: int, error: Exception) -> LineError:
    problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if isinstance(error, json.JSONDecodeError) and error.lineno == 1:
        problem += f" (character {error.colno})"
    return LineError(line, f"invalid JSON: {problem}", "correct that line; each line holds one complete object")


def _elements(text: TextIO, head: str) -> Iterator[Row]:
    """Parses the objects of one array without holding all of it in memory."""
    reader = _Array(text, head)
    if not reader.opens():
        return
    while True:
        start, values, end = reader.element()
        yield Row(reader.line, reader.buffer[start:end], _checked(values, reader.line))
        if not reader.has_next():
            return


class _Array:
    """Text of an array from the current element on."""

    def __init__(self, text: TextIO, head: str) -> None:
        self.buffer, self.line = head, 1
        self._text = text
        self._position = 0

    def opens(self) -> bool:
        """Moves past the opening bracket; returns False if the array is empty."""
        self._position = self._at_text(0) + 1
        is_empty = self._peek() == "]"
        if is_empty:
            self._end()
        return not is_empty

    def element(self) -> tuple[int, Any, int]:
        """Returns the start and end of the complete value here in the buffer."""
        start = self._at_text(self._position)
        self.line += self.buffer.count("\n", 0, start)
        self.buffer, self._position = self.buffer[start:], 0
        if not self.buffer.startswith("{"):
            raise LineError(self.line, "not a JSON object", "make the file one array of objects")
        while True:
            try:
                values, self._position = _DECODER.raw_decode(self.buffer)
            except (ValueError, RecursionError) as error:
                if len(self.buffer) > _MAX_CHARS or not self._more():
                    raise _broken(self.line, error) from error
            else:
                return 0, values, self._position

    def has_next(self) -> bool:
        """Moves past the comma; returns False past the closing bracket."""
        char = self._peek()
        if char == "]":
            self._end()
        elif char != ",":
            raise LineError(self._line_here(), "a comma or the end of the array is missing", "correct the file")
        self._position += 1
        return char == ","

    def _end(self) -> None:
        self._position += 1
        if self._peek():
            raise LineError(self._line_here(), "text after the end of the array", "correct the file")

    def _peek(self) -> str:
        self._position = self._at_text(self._position)
        return self.buffer[self._position : self._position + 1]

    def _at_text(self, position: int) -> int:
        """Returns the position of the first non-space character from ``position`` on."""
        while True:
            position = _behind_space(self.buffer, position)
            if position < len(self.buffer) or not self._more():
                return position

    def _more(self) -> bool:
        chunk = self._text.read(max(_CHUNK_CHARS, len(self.buffer)))  # doubled for elements that span many chunks
        self.buffer += chunk
        return bool(chunk)

    def _line_here(self) -> int:
        return self.line + self.buffer.count("\n", 0, self._position)


def _written(text: str, name: str, value: object) -> str:
    """Returns the source text of a value other than a string in the object ``text``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Python's decoder does not report the position of a value, so this walks the keys again, for values other than
    # strings.
    key, end = "", text.index("{") + 1
    start = end
    while key != name:
        key, end = _DECODER.raw_decode(text, text.index('"', end))
        start = _behind_space(text, text.index(":", end) + 1)
        _, end = _DECODER.raw_decode(text, start)
    return text[start:end]


def _behind_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _array(values: list[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value and _SURROGATE.sub("\ufffd", value) for value in values], pa.string())
