"""Entry point of every verb: exit statuses, messages instead of tracebacks, and logging. Runs on the driver."""

from __future__ import annotations

import atexit
import io
import logging
import os
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

from actors.errors import CredentialsError, JobError, OutputError, UnreachableError
from jobs.cli.config_errors import CONFIG_ERRORS, explain
from jobs.cli.logs import format_of, is_for_machines, say, set_up_logging
from jobs.cli.options import expand_options
from jobs.cli.overrides import as_typed
from jobs.cli.shutdown import StoppedError
from jobs.job import LogFormat
from jobs.leases.lease import HeldError, LostLeaseError

if TYPE_CHECKING:
    from collections.abc import Callable


class ExitStatus(IntEnum):
    """Exit statuses of the verbs."""

    DONE = 0
    FAILED = 1
    JOB_WRONG = 2
    OVER_BUDGET = 3
    STOPPED = 4
    HELD = 5


def run_verb(main: Callable[[], object]) -> NoReturn:
    """Runs the main function of a verb, and exits with its status.

    A wrong config ends with status 2 and a message of a few lines.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # makes Hydra raise instead of printing
    if isinstance(sys.stdout, io.TextIOWrapper):  # the terminal's encoding may lack characters in a file name
        sys.stdout.reconfigure(errors="backslashreplace")
    status: int = ExitStatus.DONE
    try:
        sys.argv[1:] = as_typed(expand_options(sys.argv[1:]))  # modified in place: Hydra reads the command line from it
        main()
    # Raised while composing the config, before Hydra calls the verb and thus before `end_with`.
    except (*CONFIG_ERRORS, JobError) as error:
        set_up_logging(format_of(sys.argv), verbose=False)
        _say_error(error if isinstance(error, JobError) else explain(error))
        status = ExitStatus.JOB_WRONG
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise  # a message for Python to print
        status = end.code
    _exit(status)


def _exit(status: int) -> NoReturn:
    """Runs the exit handlers, flushes the output, and exits without Python's teardown.

    Freeing the 350,000 objects of torch, Ray and Hydra takes 0.9 s of the sample job's 8 s (Python 3.11, two threads of
    an AMD EPYC; measured with `sys.exit` here). Under tracers, profilers and coverage, the process exits normally.
    """
    # From Python 3.12 on, coverage may measure without a trace function.
    is_observed = sys.gettrace() is not None or sys.getprofile() is not None or "coverage" in sys.modules
    if is_observed:
        sys.exit(status)
    atexit._run_exitfuncs()  # noqa: SLF001  `os._exit` skips them
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the reader is gone; Python reports it as usual
        sys.exit(status)
    os._exit(status)


def end_with(
    body: Callable[[], ExitStatus],
    *,
    verbose: bool,
    resumes: bool = True,
    log_format: LogFormat = LogFormat.text,
) -> None:
    """Context for the body of a verb. A status other than 0 ends the process, and with it a sweep of jobs. ``resumes``
    is True for a verb that the same command resumes after a stop.
    """
    set_up_logging(log_format, verbose=verbose)
    status = _status_of(body, verbose=verbose)
    if status is ExitStatus.STOPPED and resumes:
        say(logging.INFO, "the same command resumes")
    if status is not ExitStatus.DONE:
        sys.stdout.flush()
        raise SystemExit(int(status))


def status_of(error: BaseException) -> ExitStatus:
    """Returns the exit status of a verb that raises ``error``."""
    if isinstance(error, (*CONFIG_ERRORS, JobError)):
        return ExitStatus.JOB_WRONG
    # KeyboardInterrupt: Ctrl-C before the verb has installed its own handler.
    if isinstance(error, StoppedError | KeyboardInterrupt):
        return ExitStatus.STOPPED
    return ExitStatus.HELD if isinstance(error, HeldError | LostLeaseError) else ExitStatus.FAILED


def _status_of(body: Callable[[], ExitStatus], *, verbose: bool) -> ExitStatus:
    try:
        return body()
    # A missing value is detected only when the body converts the config.
    except CONFIG_ERRORS as error:
        _say_error(explain(error))
        return status_of(error)
    except (StoppedError, KeyboardInterrupt) as error:
        say(logging.WARNING, "stopped before the end; nothing was published")
        return status_of(error)
    except (JobError, HeldError, LostLeaseError, CredentialsError, OutputError, UnreachableError) as error:
        _say_error(error)
        return status_of(error)
    except Exception as error:  # noqa: BLE001  the last guard: the status is the contract, the message its comment
        first_line = (str(error).strip().splitlines() or [""])[0]
        more = "" if verbose else "\n  verbose=true shows where, and what the workers logged"
        say(logging.ERROR, f"{type(error).__name__}: {first_line}{more}", exc_info=verbose or is_for_machines())
        return status_of(error)


def _say_error(error: Exception) -> None:
    say(logging.ERROR, str(error))
