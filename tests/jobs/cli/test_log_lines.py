from __future__ import annotations

import json
import logging

import pytest

from jobs.cli.log_lines import BARE, JsonLines, TextLines


def record(level: int, message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("shardlens", level, "file.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


@pytest.mark.parametrize(
    ("made", "ending"),
    [
        (record(logging.INFO, "%s images", 7), " INFO 7 images"),
        (
            record(logging.WARNING, "%s is odd", "a\n12:00:00 INFO b\x1b[2J"),
            r" WARNING a\n12:00:00 INFO b\x1b[2J is odd",
        ),
    ],
)
def test_a_record_is_one_line_of_text(made: logging.LogRecord, ending: str) -> None:
    line = TextLines().format(made)
    assert line.endswith(ending)
    assert "\n" not in line


def test_a_bare_record_keeps_its_own_lines() -> None:
    made = record(logging.ERROR, "%s", "wrong\n  fix: \x1b[1mthis", **{BARE: True})
    assert TextLines().format(made) == "error: wrong\n  fix: \\x1b[1mthis"


def test_on_a_terminal_long_lines_break_between_words_and_continue_indented() -> None:
    path = f"/data/{'x' * 60}/report.html"
    made = record(logging.INFO, "batches of 512 images, written to %s, 12:00:00 INFO proven", path)
    lines = TextLines(40).format(made).split("\n")
    assert [line[:14].isspace() for line in lines] == [False, *[True] * (len(lines) - 1)]
    assert [line.strip() for line in lines[1:]] == ["written to", f"{path},", "12:00:00 INFO proven"]
    bare = record(
        logging.ERROR, "%s", "it is wrong in many ways\n  fix: read it all, and then once more", **{BARE: True}
    )
    assert TextLines(26).format(bare).split("\n") == [
        *("error: it is wrong in many", "  ways", "  fix: read it all, and", "    then once more")
    ]


def test_json_has_what_is_known_and_nothing_else() -> None:
    lines = JsonLines()
    lines.run = "r1"
    said = json.loads(lines.format(record(logging.INFO, "%s done", 3, shard=5, _internal=1)))
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "info", "message": "3 done", "run": "r1", "shard": 5}
