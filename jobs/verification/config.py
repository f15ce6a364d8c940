"""Typed config of `python -m jobs.verify`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.job import Log, OutputLocation


@dataclass
class VerifiedRun:
    """Selection of one run."""

    id: str | None = None
    """Run to verify; null verifies all of them."""


@dataclass
class Expected:
    """Values kept outside the output. Anyone who can write to the output can also forge it consistently."""

    manifest_sha256: str | None = None
    """Expected SHA-256 of ``manifest.json`` of `run.id`, in hexadecimal."""


@dataclass
class Verification:
    """Whole config of `python -m jobs.verify`."""

    output: OutputLocation = field(default_factory=OutputLocation)
    run: VerifiedRun = field(default_factory=VerifiedRun)
    digest: bool = True
    """Compute the digest of the rows; two runs with the same rows have the same digest."""
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
    verify: Expected = field(default_factory=Expected)
