"""The Ray cluster that a job runs on: started here, or joined. Runs on the driver."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, cast

from jobs.cluster.local_ray import LocalRay, handlers_kept
from jobs.cluster.ray_start import init_ray
from jobs.cluster.resources import Resources, cluster_resources

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.cluster.config import Cluster

LOG = logging.getLogger("shardlens")


@contextmanager
def connect(cluster: Cluster, *, verbose: bool, local: LocalRay | None = None) -> Iterator[Resources]:
    """Context manager that starts or joins Ray. A Ray that this process already uses is left running.

    Preserves signal handlers: Ray replaces the SIGTERM handler when it starts, and resets it when it stops.

    Args:
        cluster: address of the cluster to join; None starts Ray here. `prepare` must have been called.
        verbose: show Ray's output and logs.
        local: the Ray to start here; may already be starting.

    Raises:
        JobError: Ray does not start here, or no cluster responds at ``cluster.address``.
    """
    import ray  # noqa: PLC0415  must come after `prepare`

    local = local or LocalRay(cluster, verbose=verbose)
    if not local.has_begun and ray.is_initialized():
        yield cluster_resources()
        return
    with handlers_kept(), ExitStack() as session:
        if not verbose:  # entered first and exited last: Ray also prints while it stops
            session.enter_context(redirect_stdout(cast("Any", RayVoice())))
        with handlers_kept():
            if cluster.address is None:
                session.push(lambda kind, *_: local.leave(has_failed=kind is not None))
                local.wait()
            else:
                init_ray(cluster, verbose=verbose)
                session.callback(ray.shutdown)
        if not verbose:
            for name in ("ray", "ray.data"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # errors that they log are also raised
        yield cluster_resources()


class RayVoice:
    """Replaces standard output and logs one line per message that Ray prints there.

    Ray 2.60 prints pages of errors published by its nodes, even with ``log_to_driver=False`` (`listen_error_messages`
    in its worker.py), and standard output is reserved for our results.
    """

    def write(self, text: str) -> int:
        message = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().removeprefix("(raylet)")
        if message:
            LOG.warning("Ray: %s", re.split(r"(?<=\.) |\n", message.strip(), maxsplit=1)[0])
        return len(text)

    def flush(self) -> None:
        """Does nothing: no text is buffered."""
