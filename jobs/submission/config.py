"""What `python -m jobs.submit` is told for itself. These keys stand among those of the verb, and do not go on with
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from actors.errors import JobError
from actors.messages import redacted


@dataclass
class Target:
    """The cluster, and what it is sent."""

    address: str | None = None
    """Where Ray's Jobs API answers, on the head of the cluster: http://host:8265, or https."""
    py_modules: list[str] = field(default_factory=list)
    """Your own code, such as the module that model.architecture names: packages (folders with __init__.py), folders of
    modules, single .py files, wheels. Of a wheel its files travel, not what it depends on."""


@dataclass
class Submit:
    """What `python -m jobs.submit` does."""

    list_files: bool = False
    """Show every file that would travel, and what stays behind and why; nothing is sent."""


@dataclass
class Submission:
    """Everything that is for `python -m jobs.submit` itself."""

    cluster: Target = field(default_factory=Target)
    submit: Submit = field(default_factory=Submit)
    wait: bool = True
    """Follow the job to its end, and end as it does; false leaves it running."""

    def check(self) -> None:
        """Raises `JobError` where the address names no Jobs API."""
        if self.cluster.address is None and self.submit.list_files:
            return
        if self.cluster.address is None:
            raise JobError("cluster.address: not given", cure=_CURE)
        try:
            parts = urlsplit(self.cluster.address)
            is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:  # a port that is no number
            is_right = False
        if not is_right:
            raise JobError(
                f"cluster.address={redacted(self.cluster.address)}: not an http or https address", cure=_CURE
            )
        if parts.username or parts.password or parts.query:
            raise JobError(
                f"cluster.address={redacted(self.cluster.address)}: holds a secret, which the log would show",
                cure="leave it away; tokens come from RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
            )


class ClusterError(Exception):
    """The cluster cannot take the job, did not answer for long, or has forgotten it. The message has the cure."""


OWN_KEYS = ("cluster.address", "cluster.py_modules", "submit.list_files", "wait")

_CURE = (
    "give the address of the cluster's Jobs API, such as cluster.address=http://host:8265; "
    "on the cluster itself run the verb with cluster.address=auto"
)
