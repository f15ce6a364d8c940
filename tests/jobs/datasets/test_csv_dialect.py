from __future__ import annotations

import csv
import io
import random

import pytest

from jobs.datasets.csv_dialect import Dialect, find_dialect
from jobs.datasets.text_files import LineError


def dialect(text: str, **settings: object) -> Dialect:
    delimiter = str(settings.pop("delimiter", ","))
    return find_dialect(io.StringIO(text, newline=""), delimiter, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "quote", "num_records"),
    [
        ("u,c\na,b\n", '"', 2),
        ("u,c\na,b", '"', 2),
        ('u,c\na,"x, y"\n', '"', 2),
        ('u,c\na,"two\nlines"\n', '"', 2),
        ('u,c\r\na,"say ""hi"""\r\n', '"', 2),
        ('u,c\na,the said "hi" twice\n', '"', 2),  # a quote within a value does not delimit it
        ('u,c\na,"b\nc,d\ne,he said "hi" twice\n', None, 4),  # it would join lines, with text after the closing quote
        ('u,c\na,"hi" she said\n', None, 2),
        ("u,c\ra,b\rc,d\r", '"', 3),
    ],
)
def test_the_one_way_that_all_lines_fit(text: str, quote: str | None, num_records: int) -> None:
    found = dialect(text)
    assert (found.quote, found.num_records, found.width) == (quote, num_records, 2)


@pytest.mark.parametrize(
    ("text", "settings", "problem"),
    [
        ('u,c\na,"open\nb,x\n', {}, "line 2: a quote opens here and is never closed"),
        ("u,c\na,b\nc\n", {}, "line 3: 1 fields, but the first line has 2"),
        ("u,c\na,b,c\n", {}, "line 2: 3 fields"),
        ('u,c\na,b\n"x\ny",b\nc\n', {}, "line 5: 1 fields"),
        ('u,c\na,"b"c\n', {"quote": '"'}, "line 2: a value's closing quote is followed by more text"),
        ("u,c\na,'b\n", {"quote": "'"}, "line 2: a quote opens here"),
        ('u,c\na,"b\nc,d"\n', {}, "line 2: a quote opens here and closes on a later line, but each"),
        ('u,c\na,"x,y"\n', {"quote": "none"}, "line 2: 3 fields"),
        ("u,c\na,b\0\n", {}, "line 2: it holds a NUL character"),
    ],
)
def test_a_line_that_fits_no_way_or_both_is_named(text: str, settings: dict[str, object], problem: str) -> None:
    with pytest.raises(LineError) as caught:
        dialect(text, **settings)
    assert str(caught.value).startswith(problem)


def test_in_tsv_a_quote_need_not_be_closed() -> None:
    text = 'u\tc\na\t"open\nb\tx\n'
    assert dialect(text, delimiter="\t", accepts_unclosed=True).num_records == 3
    with pytest.raises(LineError, match="never closed"):
        dialect(text, delimiter="\t")


def test_what_is_ambiguous_is_read_as_the_user_says() -> None:
    text = 'u,c\na,"b\nc,d"\n'
    assert dialect(text, quote="none").num_records == 3
    assert (dialect(text, quote='"').num_records, dialect(text, quote='"').has_breaks) == (2, True)


def test_blank_lines_are_counted_outside_of_values_alone() -> None:
    found = dialect('u,c\n\na,"x\n\ny"\n\r\n' + "b,c\n" * 300_000 + "\n")
    assert (found.num_records, found.num_blank, found.blank_lines) == (300_002, 3, [2, 6, 300_007])


def test_values_that_cross_blocks() -> None:
    long = "x, y\n" * 400_000
    found = dialect(f'u,c\na,"{long}"\n' + 'b,"c"\n' * 400_000)
    assert (found.num_records, found.has_breaks) == (400_002, True)


def test_a_short_line_late_in_a_large_file_is_named() -> None:
    with pytest.raises(LineError, match="line 500001: 1 fields"):
        dialect("u,c\n" + "a,b\n" * 499_999 + "c\n" + "a,b\n" * 9)


def test_whatever_a_writer_wrote_comes_back() -> None:
    generator = random.Random(7)  # noqa: S311  test data
    for _ in range(300):
        rows = [["u", "c"], *([_value(generator), _value(generator)] for _ in range(4))]
        text = io.StringIO(newline="")
        csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
        found = dialect(text.getvalue(), quote='"')
        assert (found.num_records, found.num_blank) == (5, 0)


def _value(generator: random.Random) -> str:
    return "".join(generator.choice(["a", '"', ",", "\n", "\r\n", " "]) for _ in range(generator.randint(0, 5)))
