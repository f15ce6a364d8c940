from __future__ import annotations

from collections.abc import Callable

import pytest
from omegaconf.errors import MissingMandatoryValue

from actors.errors import JobError
from jobs.command import ExitStatus, end_with, run_verb
from jobs.lease import HeldError
from jobs.stopping import StoppedError


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
        (raising(HeldError("held by pid 7 of host-3")), 5, "held by pid 7"),
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
