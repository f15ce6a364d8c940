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


def test_json_has_what_is_known_and_nothing_else() -> None:
    lines = JsonLines()
    lines.run = "r1"
    said = json.loads(lines.format(record(logging.INFO, "%s done", 3, shard=5, _internal=1)))
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "info", "message": "3 done", "run": "r1", "shard": 5}
