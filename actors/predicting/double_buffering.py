"""Double buffering: a batch is copied to the device while the previous one runs. Runs in the predictor."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from actors.device_errors import DeviceLostError
from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from actors.engines.base import Pending

    Outputs = dict[str, np.ndarray]

LOG = logging.getLogger("shardlens")

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def overlapped(start: Callable[[Batch], Pending], batches: Iterator[Batch]) -> Iterator[tuple[Batch, Outputs]]:
    """Yields batches with their outputs, in order; starts each batch before waiting for the previous outputs.

    Stops before the first batch that fails, and drops the batch started after it. A failure means little while another
    batch holds memory, so the caller retries the batch alone.

    Args:
        start: starts a batch, like `Engine.start`.
        batches: consumed one by one, as they are started.

    Raises:
        DeviceLostError: no later batch could succeed.
        JobError: the job is wrong, not the batch.
    """
    running = _next(start, batches)
    while running is not None:
        following = _next(start, batches)
        outputs = _or_none(running.pending.result)
        if outputs is None:
            return
        yield running.batch, outputs
        running = following


class _Started(NamedTuple, Generic[Batch]):
    batch: Batch
    pending: Pending


def _next(start: Callable[[Batch], Pending], batches: Iterator[Batch]) -> _Started[Batch] | None:
    """Starts the next batch; returns None at the end, or if starting fails."""
    for batch in batches:
        pending = _or_none(partial(start, batch))
        return None if pending is None else _Started(batch, pending)
    return None


def _or_none(do: Callable[[], Result]) -> Result | None:
    """Returns None if ``do`` fails. Drops the exception, which would keep all tensors of the attempt alive."""
    try:
        return do()
    except (JobError, DeviceLostError):
        raise
    except Exception as error:  # noqa: BLE001  a user's network may raise anything; the retry decides
        LOG.info("a batch failed, perhaps because two were in flight; continuing one at a time: %s", one_line(error))
        return None
