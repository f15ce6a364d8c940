"""What `python -m jobs.verify` is told. The keys are read as those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.job import Log


@dataclass
class VerifiedOutput:
    """Where the runs lie."""

    path: str = "???"
    """Folder or URI prefix, as the job was given it."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """obstore's settings for this place, such as endpoint or region."""


@dataclass
class VerifiedRun:
    """Which of them."""

    id: str | None = None
    """The name of one run; all are verified when not given."""


@dataclass
class Expected:
    """What was kept elsewhere, since whoever can write to the output can also forge it consistently."""

    manifest_sha256: str | None = None
    """SHA-256 of the ``manifest.json`` of `run.id`, in hexadecimal digits."""


@dataclass
class Verification:
    """Everything that `python -m jobs.verify` is told."""

    output: VerifiedOutput = field(default_factory=VerifiedOutput)
    run: VerifiedRun = field(default_factory=VerifiedRun)
    digest: bool = True
    """Compute the digest of the rows, which tells whether two runs gave the same ones."""
    verbose: bool = False
    """Show the traceback of an unexpected error."""
    log: Log = field(default_factory=Log)
    verify: Expected = field(default_factory=Expected)
