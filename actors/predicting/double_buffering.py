"""One batch is on its way to the device while the one before runs there. Runs in the predictor."""

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
Gain = TypeVar("Gain")


def overlapped(start: Callable[[Batch], Pending], batches: Iterator[Batch]) -> Iterator[tuple[Batch, Outputs]]:
    """Batches with their outputs, in order. Each is started before the outputs of the one before are waited for.

    Ends before the first batch that fails, and drops what was started after it. That a batch fails says little while
    another one holds memory: it is to be tried again alone.

    Args:
        start: sets a batch on its way, as `Engine.start` does.
        batches: taken one by one, each when it is to be started.

    Raises:
        DeviceLostError: nothing that comes later could succeed.
        JobError: the job is wrong, and not a batch.
    """
    running = _next(start, batches)
    while running is not None:
        following = _next(start, batches)
        outputs = _unless_it_fails(running.pending.result)
        if outputs is None:
            return
        yield running.batch, outputs
        running = following


class _Started(NamedTuple, Generic[Batch]):
    batch: Batch
    pending: Pending


def _next(start: Callable[[Batch], Pending], batches: Iterator[Batch]) -> _Started[Batch] | None:
    """The next batch, started; None at the end, or where that fails."""
    for batch in batches:
        pending = _unless_it_fails(partial(start, batch))
        return None if pending is None else _Started(batch, pending)
    return None


def _unless_it_fails(do: Callable[[], Gain]) -> Gain | None:
    """The exception stays here: it would keep alive all tensors of the attempt."""
    try:
        return do()
    except (JobError, DeviceLostError):
        raise
    except Exception as error:  # noqa: BLE001  a user's network may raise anything; whoever tries again will judge
        LOG.info("a batch failed, perhaps because two were on their way: going on one at a time: %s", one_line(error))
        return None
