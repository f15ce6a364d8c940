from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from omegaconf.errors import MissingMandatoryValue

from actors.errors import CredentialsError, JobError
from jobs.cli.entry import ExitStatus, end_with
from jobs.cli.shutdown import StoppedError
from jobs.leases.lease import HeldError


def raising(error: BaseException) -> Callable[[], ExitStatus]:
    def body() -> ExitStatus:
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (raising(JobError("batch_size=0: too small", fix="try 32")), 2, "batch_size=0: too small\n  fix: try 32"),
        (raising(MissingMandatoryValue("x")), 2, "error: "),
        (raising(StoppedError()), 4, "stopped"),
        (raising(KeyboardInterrupt()), 4, "stopped"),
        (raising(HeldError("held by pid 7 of host-3")), 5, "held by pid 7"),
        (raising(CredentialsError("s3://b: refused")), 1, "error: s3://b: refused\n"),
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


ENDS = """
import atexit, sys
from jobs.cli.entry import run_verb
atexit.register(print, "at exit", end="")
def main():
    print("in main, ", end="")
    {ends}
run_verb(main)
"""


def run_ending(ends: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Runs a process whose output is buffered, as by default."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", ENDS.format(ends=ends)]
    return subprocess.run(
        command, env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        ("return", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('in words')", 1, "in words\n"),
        ("raise ZeroDivisionError", 1, "ZeroDivisionError\n"),
    ],
)
def test_a_process_ends_with_the_status_of_its_verb_and_nothing_is_lost(ends: str, status: int, said: str) -> None:
    done = run_ending(ends)
    assert (done.returncode, done.stdout) == (status, "in main, at exit")
    assert done.stderr.endswith(said)


TEARDOWN = """
import os, sys
from jobs.cli.entry import run_verb
class Witness:
    def __del__(self, write=os.write):
        write(1, b"torn down")
witness = Witness()
sys.setprofile({profile})
run_verb(lambda: None)
"""


@pytest.mark.parametrize(("profile", "printed"), [("None", ""), ("lambda *_: None", "torn down")])
def test_only_a_profiled_process_takes_the_time_to_free_its_objects(profile: str, printed: str) -> None:
    command = [sys.executable, "-c", TEARDOWN.format(profile=profile)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, printed)


def test_a_reader_who_left_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = run_ending("return", stdout=write)
    os.close(write)
    assert done.returncode == 120  # Python's own status
    assert "Traceback" not in done.stderr
