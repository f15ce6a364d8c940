"""File formats for class names: one per line, JSON, YAML and CSV, in the shapes that other tools write. Used where
labels are read; does not access storage.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


def labels_in(text: str, file_name: str, where: str) -> Iterable[object]:
    """Returns the names in ``text``, in class order, as written there.

    JSON and YAML hold a list of names or of objects with a ``name``, a mapping from numbers to names or from names to
    numbers, or one of these under `_KEYS`, such as ``id2label`` in a config.json or ``names`` in a YOLO data set. CSV
    has a column of names, and optionally a column of numbers and a header.

    Args:
        text: the whole file.
        file_name: in lower case; its suffix determines the format. Suffixes not in `_FORMATS` mean one name per line.
        where: prefix of error messages.

    Raises:
        JobError: the text is not in that format, or has no names in a known shape.
    """
    read = next((read for ending, read in _FORMATS.items() if file_name.endswith(ending)), None)
    if read is None:
        # Not splitlines, which also splits at form feeds and Unicode separators.
        return text.rstrip("\r\n").split("\n") if text.strip() else []
    return read(text, where) if text.strip() else []


def _json(text: str, where: str) -> Iterable[object]:
    try:
        return _names(json.loads(text), where)
    except (ValueError, RecursionError) as error:
        raise JobError(f"{where}: not JSON: {one_line(error)}", fix="correct the file") from None


def _yaml(text: str, where: str) -> Iterable[object]:
    import yaml  # noqa: PLC0415  takes 20 ms

    try:
        return _names(yaml.safe_load(text), where)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise JobError(f"{where}: not YAML: {one_line(error)}", fix="correct the file") from None


def _csv(text: str, where: str) -> Iterable[object]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    header = [cell.lower() for cell in rows[0]]
    width = len(header)
    if any(len(row) != width for row in rows):
        raise JobError(f"{where}: its rows differ in length", fix='quote names with a comma: "tench, Tinca tinca"')
    names = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    numbered = [header.index(name) for name in _NUMBER_COLUMNS if name in header]
    if names is not None or numbered:  # a header
        rows = rows[1:]
    else:
        numbered = list(range(width))
    numbers = next((place for place in numbered if place != names and _are_numbers(row[place] for row in rows)), None)
    if names is None:
        names = 0 if width == 1 else _other(numbers, width, where)
    if numbers is None or names == numbers:
        return [row[names] for row in rows]
    return _by_number([(row[numbers], row[names]) for row in rows], where)


_FORMATS: dict[str, Callable[[str, str], Iterable[object]]] = {
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".csv": _csv,
}
_KEYS = ("id2label", "label2id", "label_names", "labels", "names", "classes", "class_names", "categories", "label_map")
_NAME_COLUMNS = ("name", "label", "label_name", "class_name", "class", "display_name", "description")
_NUMBER_COLUMNS = ("id", "index", "label_id", "class_id", "idx", "number", "label", "class")
_FIX = "give a list of names, or a mapping from 0, 1, 2, … to names, in the order of the model's outputs"


def _names(content: Any, where: str, depth: int = 0) -> Iterable[object]:
    if isinstance(content, list):
        return [_name(entry) for entry in content]
    if not isinstance(content, dict) or depth > 1:
        raise JobError(f"{where}: holds neither a list nor a mapping of names", fix=_FIX)
    if key := next((key for key in _KEYS if isinstance(content.get(key), list | dict)), None):
        return _names(content[key], where, depth + 1)
    if _are_numbers(content):
        return _by_number([(key, _name(value)) for key, value in content.items()], where)
    return _by_number([(value, key) for key, value in content.items()], where)


def _name(entry: Any) -> object:
    """Returns the name in an entry: the entry itself, the name of an object, or the second item of Keras' pairs of
    synset and name.
    """
    if isinstance(entry, dict):
        return next((entry[key] for key in _NAME_COLUMNS if key in entry), None)
    return entry[-1] if isinstance(entry, list) and entry else entry


def _by_number(pairs: Sequence[tuple[Any, object]], where: str) -> list[object]:
    """Returns the names in the order of their numbers, which must start at 0 and have no gaps."""
    if not _are_numbers(number for number, _ in pairs):
        raise JobError(f"{where}: maps names to values that are not integers", fix=_FIX)
    by_number: Mapping[int, object] = {int(number): name for number, name in pairs}
    lacking = sorted(set(range(len(pairs))) - by_number.keys())
    if lacking:
        raise JobError(f"{where}: has {len(pairs)} names, and none of number {lacking[0]}", fix=_FIX)
    return [by_number[number] for number in range(len(pairs))]


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(not isinstance(value, bool) and str(value).strip().isdecimal() for value in values)


def _other(numbers: int | None, width: int, where: str) -> int:
    """Returns the only column other than that of the numbers."""
    if numbers is None or width != 2:  # noqa: PLR2004  a number and a name
        raise JobError(
            f"{where}: does not say which of {width} columns contains the names",
            fix="add a header with a column called name",
        )
    return 1 - numbers
