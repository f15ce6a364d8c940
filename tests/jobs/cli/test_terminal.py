from __future__ import annotations

import sys
import threading

import pytest

from jobs.cli.terminal import nothing_shown, show, show_columns, show_pairs, show_text

PAIRS = [
    ("speed", "638.6 images/s over 2.8 s, 4,101.4 from the first batch to the last of a long run"),
    ("rows", f"outputs/[red]{'x' * 90}"),
]
FORMS = [["form", "images", "images/s", "passed on images of the dataset"], ["openvino int8", "1,024", "20", "yes"]]


def test_a_line_is_one_line_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    show("stranger file: \x1b[1A\x1b[2Kproven\n", "runs/7")
    assert capsys.readouterr().out == "stranger file: \\x1b[1A\\x1b[2Kproven\\n\nruns/7\n"


def test_for_a_script_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_pairs(PAIRS, width=11)
    show_columns(FORMS)
    show_text("a " * 60)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"speed      {PAIRS[0][1]}"
    assert lines[2] == "form           images  images/s  passed on images of the dataset"
    assert len(lines) == 5


def test_on_a_terminal_lines_break_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    show_pairs(PAIRS, width=11)
    show_columns(FORMS)
    show_text("refuted: 3 findings, one of which takes more than a line of this terminal\x1b[2K")
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if len(line) > 60] == [f"rows       {PAIRS[1][1]}"]
    assert "from the first\n           batch to the last of a long run" in text
    assert {word for _, value in PAIRS[:1] for word in value.split()} <= set(text.split())
    assert "outputs/[red]xxx" in text, "brackets are no markup"
    assert "\x1b" not in text


def test_nothing_is_printed_for_a_python_caller_in_its_thread_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with nothing_shown():
        show("silent")
        show_pairs(PAIRS, width=11)
        thread = threading.Thread(target=show, args=("of another thread",))
        thread.start()
        thread.join()
    show("after")
    assert capsys.readouterr().out == "of another thread\nafter\n"
