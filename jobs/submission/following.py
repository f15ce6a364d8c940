"""Following a job on a cluster to its end, from any number of connections, and how it ended. Runs on the client."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, cast

import aiohttp

from actors.escapes import printable
from actors.messages import one_line
from jobs.submission.config import ClusterError
from jobs.submission.entrypoint import STDOUT
from jobs.submission.jobs_api import UnknownJobError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ray.job_submission import JobDetails

    from jobs.submission.jobs_api import JobsApi

LOG = logging.getLogger("shardlens")


@dataclass(frozen=True)
class RetryWindow:
    """How long a follower waits, in seconds."""

    lost_s: float = 300.0
    """For a cluster that does not answer."""
    again_s: float = 2.0
    """Between two attempts to reach it."""
    silent_s: float = 30.0
    """For the next line of the log, before it asks whether the job is still there."""


class JobLog:
    """Takes the log of a job in pieces; what the verb wrote to standard output goes to ``out``, all else to ``err``."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out, self._err = out, err
        self._begun = ""
        self.num_chars = 0
        """So much of the log has been taken."""

    def feed(self, piece: str) -> None:
        self.num_chars += len(piece)
        lines = (self._begun + piece).split("\n")
        self._begun = lines.pop()
        for line in lines:
            self._show(line)

    def end(self) -> None:
        """A last line without its end is shown too."""
        if self._begun:
            self._show(self._begun)
            self._begun = ""

    def _show(self, line: str) -> None:
        is_output = line.startswith(STDOUT)
        shown = printable(_COLOUR.sub("", line.removeprefix(STDOUT)))
        print(shown, file=self._out if is_output else self._err, flush=True)


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Ray colours what it says of workers


def follow(api: JobsApi, submission_id: str, log: JobLog, patience: RetryWindow | None = None) -> JobDetails:
    """Shows the log of the job as it grows, and gives how it ended.

    Raises:
        ClusterError: the cluster did not answer for long; the job may go on without us.
        JobError: the token is refused.
    """
    follower = _Follower(api, submission_id, log, patience or RetryWindow())
    details = asyncio.run(follower.follow())
    log.end()
    return details


class _Follower:
    def __init__(self, api: JobsApi, submission_id: str, log: JobLog, patience: RetryWindow) -> None:
        self._api, self._id, self._log, self._patience = api, submission_id, log, patience
        self._heard_at = time.monotonic()

    async def follow(self) -> JobDetails:
        is_lost = False
        while True:
            try:
                await self._read()
                details = await self._ask()
                if details.status.is_terminal():
                    return details
                is_lost = False
            except UnknownJobError:
                raise ClusterError(
                    f"{self._api.address} does not know the job {self._id} any more: the cluster was started anew\n"
                    "  cure: give the same command again; what was done is kept, and it goes on"
                ) from None
            except (OSError, aiohttp.ClientError, RuntimeError) as error:
                self._judge(error)
                if not is_lost:
                    LOG.warning("%s does not answer (%s): trying again", self._api.address, one_line(error))
                is_lost = True
            await asyncio.sleep(self._patience.again_s)

    async def _read(self) -> None:
        """Shows what is new in the log, until its stream ends; each stream gives the log from its beginning."""
        num_known = self._log.num_chars
        async with aclosing(cast("AsyncGenerator[str]", self._api.tail(self._id))) as stream:
            async for piece in self._pieces(stream):
                self._heard_at = time.monotonic()
                self._log.feed(piece[num_known:])
                num_known = max(0, num_known - len(piece))

    async def _pieces(self, stream: AsyncGenerator[str]) -> AsyncGenerator[str]:
        """Those of ``stream``; while it is silent the cluster is asked, since a dead one says nothing either."""
        while True:
            coming = asyncio.ensure_future(anext(stream, None))
            try:
                while not (await asyncio.wait([coming], timeout=self._patience.silent_s))[0]:
                    await self._ask()
            finally:
                if not coming.done():
                    await _cancelled(coming)
            piece = coming.result()
            if piece is None:
                return
            yield piece

    async def _ask(self) -> JobDetails:
        details = await asyncio.to_thread(self._api.details, self._id)
        self._heard_at = time.monotonic()
        return details

    def _judge(self, error: Exception) -> None:
        """Raises where the cluster has not answered for too long."""
        if time.monotonic() - self._heard_at > self._patience.lost_s:
            raise ClusterError(
                f"{self._api.address} does not answer for {self._patience.lost_s:.0f} s: {one_line(error)}\n"
                f"  cure: the job {self._id} goes on without us; give the same command again to follow it"
            ) from error


async def _cancelled(future: asyncio.Future[Any]) -> None:
    future.cancel()
    await asyncio.wait([future])
