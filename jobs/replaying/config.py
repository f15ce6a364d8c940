"""Typed config of `python -m jobs.replay`. Keys are read like those of `python -m jobs.batch_infer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobs.job import Log, OutputLocation


@dataclass
class Replay:
    """Images to send, and request settings."""

    images: int = 200
    """Number of images of the run to send, drawn at random but reproducibly."""
    concurrency: int = 8
    """Number of requests in flight."""
    token_file: str | None = None
    """File with the bearer token of the endpoint; null uses the environment variable SHARDLENS_SERVE_TOKEN, if set."""
    timeout_s: float = 60.0
    """Seconds to wait for an answer, including retries while replicas are busy."""
    image_storage_options: dict[str, str] = field(default_factory=dict)
    """Storage options for the images, if those of the run, which exclude secrets, are not sufficient."""
    path: str | None = None
    """JSON file to write the differences to; null writes none."""


@dataclass
class ReplayJob:
    """Whole config of `python -m jobs.replay`."""

    run: str = "???"
    """Id of a published run below `output.path`."""
    url: str = "???"
    """Address of the endpoint, such as http://localhost:8000. Nothing is sent to any other host."""
    output: OutputLocation = field(default_factory=OutputLocation)
    replay: Replay = field(default_factory=Replay)
    verbose: bool = False
    """Show the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)
