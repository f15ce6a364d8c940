from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest

from jobs.datasets.json_rows import json_rows, tables_of
from jobs.datasets.passed_over import PassedOver
from jobs.datasets.text_files import LineError


def read(text: str, *names: str, unseen: set[str] | None = None) -> list[dict[str, str | None]]:
    rows = json_rows(io.StringIO(text, newline=""), may_be_array=True, name="x", passed_over=PassedOver())
    return pa.concat_tables(tables_of(rows, names, unseen if unseen is not None else set())).to_pylist()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("17293822569102704641", "17293822569102704641"),
        ("20230001234567.0", "20230001234567.0"),
        ("1.10", "1.10"),
        ("1E400", "1E400"),
        ("-0", "-0"),
        ("NaN", "NaN"),
        ("true", "true"),
        ("null", None),
        ('"007"', "007"),
        ('"2024-01-01 10:00:00"', "2024-01-01 10:00:00"),
        ('"caf\\u00e9"', "café"),
        ('"\\ud83d\\ude00"', "😀"),
        ('"half \\ud83d"', "half \ufffd"),
        ('{"a": [1.10, {"v": 2}], "b" : "x"}', '{"a": [1.10, {"v": 2}], "b" : "x"}'),
        ("[ 1,2 ]", "[ 1,2 ]"),
    ],
)
@pytest.mark.parametrize("form", ['{{"o": {{"v": 0}}, "\\u0071": "\\"v\\":", "v": {0}, "z": 1}}\n', '[{{"v": {0}}}]'])
def test_values_are_the_text_that_stands_there(written: str, text: str | None, form: str) -> None:
    assert read(form.format(written), "v") == [{"v": text}]


def test_keys_may_come_late_and_be_left_out() -> None:
    text = '{"u": "a"}\n' * 50_000 + '{"u": "b", "late": 0.5}\n'
    unseen = {"u", "late", "never"}
    rows = read(text, "u", "late", unseen=unseen)
    assert (len(rows), rows[0], rows[-1]) == (50_001, {"u": "a", "late": None}, {"u": "b", "late": "0.5"})
    assert unseen == {"never"}


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_in_pieces(indent: int | None) -> None:
    objects = [{"u": f"{number}.jpg", "more": "x" * (3 << 20 if number == 7 else 9)} for number in range(20_000)]
    rows = read("\n " + json.dumps(objects, indent=indent) + "\n", "u")
    assert [row["u"] for row in rows] == [row["u"] for row in objects]
    assert read(" [ ] ", "u") == []


def test_blank_lines_are_told() -> None:
    passed_over = PassedOver()
    text = io.StringIO('{"u": 1}\r\n\r\n{"u": 2}\n \n')
    assert len(list(json_rows(text, may_be_array=False, name="x.jsonl", passed_over=passed_over))) == 2
    assert passed_over.examples == {"blank line": ["x.jsonl, line 2", "x.jsonl, line 4"]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"u": 1}\n{"u": ', "line 2: invalid JSON: Expecting value"),
        ('{"u": 1}\n{"u": 1}{"u": 2}\n', "line 2: invalid JSON: Extra data"),
        ('{"u": 1}\n7\n', "line 2: not a JSON object"),
        ('{"u": 1, "u": 2}\n', 'line 1: invalid JSON: the key "u" appears twice'),
        ("{'u': 1}\n", "line 1: invalid JSON: Expecting property name"),
        ('{"images": [\n{"u": 1}]}', "line 1: invalid JSON"),
        ('[{"u": 1},\n{"u": 2}', "line 2: a comma or the end of the array is missing"),
        ('[{"u": 1}\n{"u": 2}]', "line 2: a comma or the end"),
        ('[{"u": 1},\n\n{"u": ]', "line 3: invalid JSON"),
        ('[{"u": 1},\n7]', "line 2: not a JSON object"),
        ('[{"u": 1}] 7', "line 1: text after the end"),
        ('{"u": ' + "[" * 200_000 + "]" * 200_000 + "}", "line 1: invalid JSON"),
    ],
)
def test_a_broken_line_is_named(text: str, problem: str) -> None:
    with pytest.raises(LineError) as caught:
        read(text, "u")
    assert str(caught.value).startswith(problem)
