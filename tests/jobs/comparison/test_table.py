from __future__ import annotations

from pathlib import Path

from compared import classified, compared, publish_run
from places import local_place

from jobs.comparison.table import lines_of


def test_the_table_fits_into_80_columns_and_says_the_same_as_the_findings(tmp_path: Path) -> None:
    place, long = local_place(tmp_path), "a class with a name that is much longer than its column"
    a = publish_run(
        place, "20260102-030405-abcd", classified([("1", long, 0.5, long), ("2", "x", 0.5, "x"), ("3", "x", 0.5)]),
        errors={"4": ("decode", "truncated")},
    )  # fmt: skip
    b = publish_run(
        place, "20260203-040506-ef01", classified([("1", "y", 0.75, long), ("2", "x", 0.5, "x"), ("5", "x", 0.5)]),
        errors={"3": ("read", "not_found"), "4": ("decode", "unsupported")},
    )  # fmt: skip
    lines = list(lines_of(compared(a, b)))
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for expected in (
        "images          4 in both, 2 with an answer in both",
        "                0 only in A, 1 only in B",
        "flips           1 image; ratio 0.5",
        "accuracy        1.000000 in A, 0.500000 in B",
        "better or worse 0 fixed, 1 broken",
        "new errors      1: read/not_found 1",
        "errors in both  1, 1 of them for another reason",
        "a class with a name that is m…  y                                             1",
    ):
        assert expected in text
