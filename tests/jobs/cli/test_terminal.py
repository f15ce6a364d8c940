from __future__ import annotations

import pytest

from jobs.cli.terminal import show


def test_a_line_is_one_line_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    show("stranger file: \x1b[1A\x1b[2Kproven\n", "runs/7")
    assert capsys.readouterr().out == "stranger file: \\x1b[1A\\x1b[2Kproven\\n\nruns/7\n"
