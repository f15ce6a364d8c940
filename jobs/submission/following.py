"""Follows a job on a cluster to its end, across lost connections. Runs on the client."""

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
    """Timeouts of a follower, in seconds."""

    timeout_s: float
    """Limit for a cluster that does not respond: `submit.timeout_s`."""
    retry_s: float = 2.0
    """Pause between two attempts."""
    idle_s: float = 30.0
    """Silence of the log after which the status of the job is requested."""


class JobLog:
    """Splits the log of a job: the verb's standard output goes to ``out``, everything else to ``err``."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out, self._err = out, err
        self._begun = ""
        self.num_chars = 0
        """Characters of the log received so far."""

    def feed(self, piece: str) -> None:
        """Prints the lines that ``piece`` completes."""
        self.num_chars += len(piece)
        lines = (self._begun + piece).split("\n")
        # Pieces end anywhere, even between the mark of a line and its text.
        self._begun = lines.pop()
        for line in lines:
            self._show(line)

    def end(self) -> None:
        """Prints a last line that has no newline."""
        if self._begun:
            self._show(self._begun)
            self._begun = ""

    def _show(self, line: str) -> None:
        is_output = line.startswith(STDOUT)
        # The log is text of the cluster: a file name in it must not move the cursor of this terminal.
        shown = printable(_COLOUR.sub("", line.removeprefix(STDOUT)))
        print(shown, file=self._out if is_output else self._err, flush=True)


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Ray colours the prefixes of worker lines


def follow(api: JobsApi, submission_id: str, log: JobLog, window: RetryWindow) -> JobDetails:
    """Prints the log of the job as it grows; returns its final details.

    Raises:
        ClusterError: the cluster has not responded for too long; the job may still be running.
        JobError: the token is rejected.
    """
    details = asyncio.run(_Follower(api, submission_id, log, window).follow())
    log.end()
    return details


class _Follower:
    def __init__(self, api: JobsApi, submission_id: str, log: JobLog, window: RetryWindow) -> None:
        self._api, self._id, self._log, self._window = api, submission_id, log, window
        self._heard_at = time.monotonic()

    async def follow(self) -> JobDetails:
        is_lost = False
        while True:
            try:
                await self._read()
                # The stream also ends when the connection is lost or the head restarts; only the status is conclusive.
                details = await self._request_details()
                if details.status.is_terminal():
                    return details
                is_lost = False
            except UnknownJobError:
                raise ClusterError(
                    f"{self._api.address} no longer knows the job {self._id}: the cluster was restarted\n"
                    "  fix: run the same command again; it resumes, and finished work is kept"
                ) from None
            # Ray 2.60 raises RuntimeError for every error response, and for a stream that breaks off.
            except (OSError, aiohttp.ClientError, RuntimeError) as error:
                self._check_timeout(error)
                if not is_lost:
                    LOG.warning("%s does not respond (%s): retrying", self._api.address, one_line(error))
                is_lost = True
            await asyncio.sleep(self._window.retry_s)

    async def _read(self) -> None:
        """Prints new log text until the stream ends. Each stream starts at the beginning of the log."""
        num_known = self._log.num_chars
        # Without `aclosing`, the connection would stay open until garbage collection finds the generator.
        async with aclosing(cast("AsyncGenerator[str]", self._api.tail(self._id))) as stream:
            async for piece in self._pieces(stream):
                self._heard_at = time.monotonic()
                self._log.feed(piece[num_known:])
                num_known = max(0, num_known - len(piece))

    async def _pieces(self, stream: AsyncGenerator[str]) -> AsyncGenerator[str]:
        """Yields from ``stream``, and polls the cluster while it is silent: a dead cluster is silent too."""
        while True:
            # Not `wait_for`: its timeout cancels the call, which ends the generator.
            coming = asyncio.ensure_future(anext(stream, None))
            try:
                while not (await asyncio.wait([coming], timeout=self._window.idle_s))[0]:
                    await self._request_details()
            finally:
                if not coming.done():
                    await _cancelled(coming)
            piece = coming.result()
            if piece is None:
                return
            yield piece

    async def _request_details(self) -> JobDetails:
        # In a thread: the rest of Ray's client blocks, which would stall the log.
        details = await asyncio.to_thread(self._api.details, self._id)
        self._heard_at = time.monotonic()
        return details

    def _check_timeout(self, error: Exception) -> None:
        """Raises `ClusterError` if the cluster has not responded for `RetryWindow.timeout_s`."""
        if time.monotonic() - self._heard_at > self._window.timeout_s:
            raise ClusterError(
                f"{self._api.address} has not responded for {self._window.timeout_s:.0f} s: {one_line(error)}\n"
                f"  fix: the job {self._id} may still be running; run the same command again to follow it"
            ) from error


async def _cancelled(future: asyncio.Future[Any]) -> None:
    future.cancel()
    # A generator that is still running cannot be closed: `aclose` raises RuntimeError.
    await asyncio.wait([future])
