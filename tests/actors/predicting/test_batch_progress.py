from __future__ import annotations

import io
import re
import sys

import pyarrow as pa
import pytest

from actors.predicting import batch_progress
from actors.predicting.batch_progress import with_progress

TABLES = [pa.table({"error": [None, "truncated"]}), pa.table({"error": pa.array([None], pa.string())})]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_every_few_seconds_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_progress, "LINE_S", 0.0)
    assert list(with_progress(TABLES, 3)) == TABLES
    printed = capsys.readouterr()
    first, *_, last = printed.err.splitlines()
    assert re.fullmatch(r"2 of 3 images, 1 errors, [\d,.]+ images/s", first)
    assert re.fullmatch(r"3 images, 1 errors, [\d,.]+ images/s", last)
    assert printed.out == ""


def test_a_short_prediction_of_unknown_length_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(with_progress(iter(TABLES), None)) == TABLES
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("3 images, 1 errors")


def test_on_a_terminal_one_line_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert list(with_progress(TABLES, 3)) == TABLES
    assert "\x1b[" in terminal.getvalue()
    assert "3 images, 1 errors" in terminal.getvalue().splitlines()[-1]
