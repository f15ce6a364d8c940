from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from omegaconf.errors import MissingMandatoryValue

from actors.errors import JobError
from jobs.command import ExitStatus, StoppedError, catch_signals, end_with, run_verb


def raising(error: BaseException) -> Callable[[], ExitStatus]:
    def body() -> ExitStatus:
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (raising(JobError("batch_size=0: too small", cure="try 32")), 2, "batch_size=0: too small\n  cure: try 32"),
        (raising(MissingMandatoryValue("x")), 2, "error: "),
        (raising(StoppedError()), 4, "stopped"),
        (raising(KeyboardInterrupt()), 4, "stopped"),
        (raising(OSError("disk full\nmore")), 1, "OSError: disk full\n  verbose=true"),
        (lambda: ExitStatus.OVER_BUDGET, 3, ""),
    ],
)
def test_each_end_has_its_status_and_no_traceback(
    body: Callable[[], ExitStatus], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        end_with(body, verbose=False)
    printed = capsys.readouterr().err
    assert caught.value.code == status
    assert said in printed
    assert "Traceback" not in printed


def test_verbose_shows_where_an_unexpected_error_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        end_with(raising(OSError("disk full")), verbose=True)
    assert "Traceback" in capsys.readouterr().err


def test_success_ends_nothing() -> None:
    end_with(lambda: ExitStatus.DONE, verbose=False)


def test_a_verb_that_returns_is_done() -> None:
    with pytest.raises(SystemExit) as caught:
        run_verb(lambda: None)
    assert caught.value.code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_the_main_thread(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        catch_signals()
        with pytest.raises(StoppedError):
            os.kill(os.getpid(), number)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
