from __future__ import annotations

import logging
import sys
import warnings

import pytest

from actors.exporting.exporter_errors import cause, quietly


def wrapped(inner: Exception, text: str) -> Exception:
    outer = RuntimeError(text)
    outer.__cause__ = inner
    return outer


PROSE = "\x1b[31mFailed to export the model with torch.export. \x1b[96mThis is step 1/3\x1b[0m of exporting"


def test_the_cause_is_the_first_error_in_one_line_without_terminal_codes() -> None:
    inner = ValueError("\x1b[96mCould not guard\x1b[0m on u0\n\n  File model.py")
    assert cause(wrapped(wrapped(inner, "in between"), PROSE)) == "ValueError: Could not guard on u0"


def test_advice_before_the_cause_is_passed_over() -> None:
    assert cause(RuntimeError(f"{PROSE}\n\n- Debug it\nno kernel for mm")) == "RuntimeError: no kernel for mm"
    assert cause(RuntimeError(PROSE)) == "RuntimeError"


def test_an_error_that_causes_itself_ends() -> None:
    error = ValueError("round")
    error.__cause__ = wrapped(error, "and")
    assert cause(error) == "RuntimeError: and"


def test_nothing_that_an_exporter_says_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.manager.disable
    with quietly():
        logging.getLogger("torch.onnx").error("step 1")
        warnings.warn("step 2", stacklevel=1)
        sys.stdout.write("step 3")
        sys.stderr.write("step 4")
    assert capsys.readouterr() == ("", "")
    assert logging.root.manager.disable == before
