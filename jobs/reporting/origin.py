"""Origin of a run, for its report: time, user, command, data and model. Runs on the driver."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
import sys
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from actors.messages import redacted
from actors.models.names import model_name
from jobs.config import is_public

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.runs.opening import Run


def origin_of(run: Run) -> dict[str, Any]:
    """Returns plain values for report.json; times are UTC, ISO 8601. They contain no credentials."""
    job, path = run.job, run.job.dataset.path
    paths = [path] if isinstance(path, str) else list(path)
    return {
        "started_at": run.record.opened_at,
        "ended_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "started_by": f"{_user()}@{socket.gethostname()}",
        "command": command_line(sys.argv),
        "dataset": {"kind": job.dataset.kind, "path": [redacted(one) for one in paths]},
        "model": model_name(job.model.source, job.model.architecture, job.model.checkpoint),
        "task": job.task.name,
        "output": redacted(run.paths.root),
        "inventory_digest": run.record.inventory_digest,
    }


def command_line(arguments: Sequence[str]) -> str:
    """Returns the shell command of this process, without secrets; empty if a verb did not start it.

    Args:
        arguments: as in ``sys.argv``.
    """
    path = PurePath(arguments[0])
    if path.parent.name != "jobs" or path.suffix != ".py":
        return ""
    return shlex.join(["python", "-m", f"jobs.{path.stem}", *map(_without_secrets, arguments[1:])])


def _without_secrets(argument: str) -> str:
    key, has_value, _ = argument.partition("=")
    group, _, option = key.rpartition(".")
    is_option = group.endswith("storage_options") and not is_public(option)
    if has_value and (is_option or option == "storage_options" or key == "notify.url" or _SECRET.search(option)):
        return f"{key}=***"
    return redacted(argument)


_SECRET = re.compile(r"token|secret|passw|credential|(?:api|access|account)_?key", re.IGNORECASE)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id without a name
        return str(os.getuid())
