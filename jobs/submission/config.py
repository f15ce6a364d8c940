"""Typed config of `python -m jobs.submit` itself. Its keys are mixed with those of the verb, and are not passed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from actors.errors import JobError
from actors.messages import redacted


@dataclass
class Target:
    """The cluster, and the user's code to upload."""

    address: str | None = None
    """URL of Ray's Jobs API on the head node: http://host:8265, or https."""
    py_modules: list[str] = field(default_factory=list)
    """Your own code, such as the module that model.architecture names: packages (folders with __init__.py), folders of
    modules, single .py files, wheels. The dependencies of a wheel are not uploaded."""


@dataclass
class Submit:
    """Actions of `python -m jobs.submit` besides submitting."""

    list_files: bool = False
    """List every file that would be uploaded, and every file left out with the reason; submit nothing."""
    timeout_s: float = 300.0
    """Seconds without a response from the cluster after which the command exits with status 1; the job may continue."""


@dataclass
class Submission:
    """All keys for `python -m jobs.submit` itself."""

    cluster: Target = field(default_factory=Target)
    submit: Submit = field(default_factory=Submit)
    wait: bool = True
    """Follow the job to its end and exit with its status; false leaves it running."""

    def check(self) -> None:
        """Raises `JobError` if the address cannot belong to a Jobs API, or if a number is out of range."""
        if self.submit.timeout_s <= 0:
            raise JobError(f"submit.timeout_s={self.submit.timeout_s}: must be above 0", fix="omit it, or try 300")
        if self.cluster.address is None and self.submit.list_files:
            return
        if self.cluster.address is None:
            raise JobError("cluster.address: not given", fix=_FIX)
        try:
            parts = urlsplit(self.cluster.address)
            is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:  # the port is not a number
            is_right = False
        if not is_right:
            raise JobError(f"cluster.address={redacted(self.cluster.address)}: not an http or https address", fix=_FIX)
        if parts.username or parts.password or parts.query:
            raise JobError(
                f"cluster.address={redacted(self.cluster.address)}: holds a secret, which the log would show",
                fix="omit it; tokens come from RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH",
            )


class ClusterError(Exception):
    """The cluster rejects the job, does not respond, or has forgotten it. The message includes the fix."""


# All fields of `Submission`, listed individually: the verb also has a ``cluster`` node, with other fields.
OWN_KEYS = ("cluster.address", "cluster.py_modules", "submit.list_files", "submit.timeout_s", "wait")

_FIX = (
    "give the address of the cluster's Jobs API, such as cluster.address=http://host:8265; "
    "on the cluster itself run the verb with cluster.address=auto"
)
