"""Typed config of `python -m jobs.browse`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.errors import JobError
from jobs.job import Log, OutputLocation
from jobs.pages.config import ReportedImages


@dataclass
class BrowsedRun:
    """Selection of one run."""

    id: str | None = None
    """Published run to browse; null selects the latest."""


@dataclass
class Browse:
    """The server, which is reachable from this machine only."""

    port: int = 0
    """Port on 127.0.0.1; 0 selects any free one."""
    max_memory_bytes: int = 256 << 20
    """Memory limit of the table; the rest is in the temporary folder (TMPDIR), about 100 bytes per row."""

    def check(self) -> None:
        """Raises `JobError` for a value out of range."""
        if not 0 <= self.port <= _MAX_PORT:
            raise JobError(f"browse.port={self.port}: no port", fix=f"give 0 (any free one) to {_MAX_PORT}")
        if self.max_memory_bytes < _LEAST_BYTES:
            raise JobError(
                f"browse.max_memory_bytes={self.max_memory_bytes}: too little", fix=f"give at least {_LEAST_BYTES}"
            )


@dataclass
class Browsing:
    """Whole config of `python -m jobs.browse`."""

    output: OutputLocation = field(default_factory=OutputLocation)
    run: BrowsedRun = field(default_factory=BrowsedRun)
    dataset: ReportedImages = field(default_factory=ReportedImages)
    browse: Browse = field(default_factory=Browse)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)


_MAX_PORT = (1 << 16) - 1
_LEAST_BYTES = 64 << 20
