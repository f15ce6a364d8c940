from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.storage.json_documents import parse_object, read_object
from actors.storage.store import Storage


def test_an_object_is_parsed_and_converted_from_the_inside() -> None:
    assert parse_object('{"a": {"b": "é"}}'.encode()) == {"a": {"b": "é"}}
    assert parse_object(b'{"a": {"b": 1}}', convert=lambda content: {**content, "n": len(content)}) == {
        "a": {"b": 1, "n": 1},
        "n": 1,
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "Expecting value"),
        (b"[1]", "not an object"),
        (b'{"a": 1} {}', "Extra data"),
        (b"\xff\xfe{", "invalid start byte"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' appears twice"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "integer string conversion"),
        (b'{"a": "' + b"x" * 100 + b'"}', "more than the limit of 99"),
    ],
)
def test_anything_else_is_a_value_error(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_object(data, max_bytes=99 if b"xxx" in data else 1 << 24)


def test_a_file_is_read_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": NaN}')
    assert str(read_object(str(tmp_path / "a.json"), Storage(), allow_nan=True)) == "{'a': nan}"
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(1 << 40)  # more than fits into memory
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("a.json", "huge.json", "pipe.json", "folder.json"):
        with pytest.raises(ValueError, match=r"NaN is not a JSON number|more than the limit|not a regular file"):
            read_object(str(tmp_path / name), Storage())
    with pytest.raises(FileNotFoundError):
        read_object(str(tmp_path / "gone.json"), Storage())
