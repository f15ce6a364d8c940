"""Waits for trial tasks. Runs on the driver."""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import GetTimeoutError, RayTaskError

from actors.errors import DecoderMismatchError, JobError

if TYPE_CHECKING:
    from threading import Event

LOG = logging.getLogger("shardlens")


def result_of(reference: Any) -> Any:
    """Returns the result of a task; raises its JobError or DecoderMismatchError. Kills a task that takes too long."""
    for seconds in range(_LINE_EVERY_S, int(_LIMIT_S), _LINE_EVERY_S):
        if ray.wait([reference], timeout=_LINE_EVERY_S)[0]:
            break
        LOG.info("no result from a trial for %d s: it waits for CPUs, or the model is slow", seconds)
    try:
        return ray.get(reference, timeout=_LINE_EVERY_S)
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        raise
    except RayTaskError as error:
        raise _own(error) from None


def result_behind(reference: Any, *, is_over: Event, limit_s: float) -> Any:
    """Does the same as `result_of`, for a thread that must stop using Ray soon after ``is_over``."""
    deadline = time.monotonic() + limit_s
    while not ray.wait([reference], timeout=0)[0]:
        if is_over.wait(_LOOK_EVERY_S) or time.monotonic() > deadline:
            ray.cancel(reference, force=True)
            raise CancelledError if is_over.is_set() else TimeoutError(f"a trial takes more than {limit_s:.0f} s")
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise _own(error) from None


def _own(error: RayTaskError) -> Exception:
    return error.cause if isinstance(error.cause, JobError | DecoderMismatchError) else error


_LIMIT_S = 900.0  # one trial, including the wait for resources and model compilation
_LINE_EVERY_S = 30
_LOOK_EVERY_S = 0.2
