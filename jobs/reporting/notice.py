"""Notifies a webhook that a command has ended. Runs on the driver."""

from __future__ import annotations

import asyncio
import logging
import os
from threading import Thread
from typing import TYPE_CHECKING, Any

from actors.errors import UnreachableError
from actors.messages import one_line
from actors.storage.json_documents import read_object
from actors.storage.uris import absolute, redacted
from jobs.cli.entry import status_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from actors.storage.store import Storage
    from jobs.cli.entry import ExitStatus
    from jobs.job import Job, Notify

LOG = logging.getLogger("shardlens")
TOKEN = "SHARDLENS_NOTIFY_TOKEN"  # noqa: S105  the name of a variable
KEYS = (
    *("run_id", "rows", "errors", "num_listed", "num_ok", "num_errors", "error_kinds", "metrics", "images_per_s"),
    "elapsed_s",
)
"""Keys of report.json included in the notice."""


def notify_end(job: Job, status: ExitStatus, report: str, storage: Storage) -> None:
    """Sends the summary of the run whose report.json is ``report``, if the job requests a notice. Never raises."""
    if job.notify.url is None:
        return
    try:
        content = read_object(report, storage)
    except Exception as error:  # noqa: BLE001  the run has ended: its status must not depend on a notice
        LOG.warning("the notice lacks the report: %s", one_line(error))
        content = {}
    kept = {key: content[key] for key in KEYS if key in content}
    done = f"{kept.get('num_ok', 0):,} ok, {kept.get('num_errors', 0):,} errors of {kept.get('num_listed', 0):,} images"
    _send(job.notify, {**_about(job, status, done), "report": redacted(report), **kept})


def notify_error(job: Job, error: BaseException) -> None:
    """Sends the error of a command that ended without a report, if the job requests a notice. Never raises."""
    if job.notify.url is not None:
        message = one_line(error) or type(error).__name__
        _send(job.notify, {**_about(job, status_of(error), message), "message": message})


def _about(job: Job, status: ExitStatus, outcome: str) -> dict[str, Any]:
    output = redacted(absolute(job.output.path))
    return {
        "text": f"shardlens: {status.name.lower()}: {outcome}: {output}",  # shown by Slack, Mattermost and Teams
        "status": status.name.lower(),
        "exit_status": int(status),
        "output": output,
        "dataset": redacted(str(job.dataset.path)),
        "model": redacted(str(job.model.source or job.model.architecture or job.model.checkpoint)),
    }


def _send(wanted: Notify, content: Mapping[str, Any]) -> None:
    # Uses a separate thread: in a notebook, this one already runs an event loop.
    thread = Thread(target=_post_all, args=(wanted, content), name="notice", daemon=True)
    thread.start()
    thread.join()


def _post_all(wanted: Notify, content: Mapping[str, Any]) -> None:
    try:
        asyncio.run(_post(str(wanted.url), content))
    except Exception as error:  # noqa: BLE001  as above
        # Without the address, which may be a secret.
        LOG.warning("notify.url got no notice: %s", str(error).replace(str(wanted.url), "the address"))


async def _post(url: str, content: Mapping[str, Any]) -> None:
    """Posts ``content`` as JSON, retrying after a refused connection or a retryable response.

    Raises:
        UnreachableError: the last response was not a success.
        ClientError, TimeoutError: there was no response.
    """
    import aiohttp  # noqa: PLC0415  takes 0.1 s, and few jobs ask for a notice

    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=_ATTEMPT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        for wait_s in (*_WAITS_S, None):
            problem = await _attempt(session, url, content)
            if problem is None:
                return
            if wait_s is None:
                raise problem
            await asyncio.sleep(wait_s)


async def _attempt(session: aiohttp.ClientSession, url: str, content: Mapping[str, Any]) -> Exception | None:
    """Posts ``content`` once; returns a transient error, and raises any other."""
    import aiohttp  # noqa: PLC0415  as above

    try:
        # A redirect would carry the report, and the token, to a host that the user did not name.
        async with session.post(url, json=content, allow_redirects=False) as answer:
            if answer.status < _REDIRECTS:
                return None
            problem = UnreachableError(f"it answers with status {answer.status}")
            if answer.status in _TRANSIENT:
                return problem
            raise problem
    except (aiohttp.ClientError, TimeoutError) as error:
        return error


_ATTEMPT_S = 10.0
_WAITS_S = (1.0, 3.0, 9.0)  # between attempts
_REDIRECTS = 300
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
