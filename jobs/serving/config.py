"""Config of `python -m jobs.serve`."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING

from omegaconf import MISSING

from actors.decoding.config import Decode
from actors.engines.configs import EngineConfig  # noqa: TC001  OmegaConf evaluates the annotations of a config
from actors.errors import JobError
from actors.models.spec import Model
from actors.storage.allowlist import Allowlist
from actors.storage.store import Storage
from actors.storage.uris import absolute
from actors.tasks.base import Task  # noqa: TC001  as above
from jobs.cluster.config import Cluster
from jobs.job import Job, Log

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Serve:
    """The HTTP endpoint, its limits, and the replicas behind it."""

    name: str = "model"
    """Name of the model in the URLs of the Open Inference Protocol."""
    host: str = "127.0.0.1"
    """Address to listen on; any address other than loopback requires `token_file`."""
    port: int = 8000
    """Port to listen on."""
    token_file: str | None = None
    """File with the bearer token that requests must carry; null requires none, and needs a loopback address."""
    allow: list[str] = field(default_factory=list)
    """Prefixes of URIs that requests may specify instead of sending images; none are allowed by default."""
    batch_size: int = 16
    """Maximum number of images in a batch of the engine."""
    batch_wait_s: float = 0.01
    """Seconds that the first image of a batch waits for others."""
    max_body_bytes: int = 64 * 2**20
    """Maximum bytes in a request body; larger requests are answered with 413. `decode.max_bytes` limits each image."""
    max_images: int = 64
    """Maximum number of images in a request; larger requests are answered with 413."""
    max_queued: int = 256
    """Maximum number of images waiting for a replica; further requests are answered with 503 and Retry-After."""
    timeout_s: float = 30.0
    """Seconds after which a request is answered with 504."""
    min_replicas: int = 1
    """Minimum number of model replicas."""
    max_replicas: int = 1
    """Maximum number of model replicas; Ray Serve starts them as requests queue."""
    output: str | None = None
    """The output.path of a job. With engine=auto, the endpoint uses the engine that a job with this output has chosen
    for the same model on the same hardware; if null, or if there is none, it tries engines."""
    roll_out: bool = False
    """Switch the endpoint running on the Ray cluster at `cluster.address` to this model instead of starting one."""
    cpus_per_replica: float = 0.5
    """CPUs that a replica reserves; engine.threads sets how many it uses."""
    gpus_per_replica: float = 0.0
    """GPUs that a replica reserves; with 0, it sees no GPU."""

    def check(self) -> None:
        """Raises `JobError` like `check_values`, or if the port is taken."""
        self.check_values()
        if not self.roll_out:
            self._check_free()

    def check_values(self) -> None:
        """Raises `JobError` if a value is out of range, or if the endpoint would be open to others without a token."""
        names = ("batch_size", "max_body_bytes", "max_images", "max_queued", "timeout_s", "min_replicas")
        for name in names:
            if getattr(self, name) <= 0:
                raise JobError(f"serve.{name}={getattr(self, name)}: not above 0", fix="give a number above 0")
        if self.max_replicas < self.min_replicas:
            raise JobError(
                f"serve.max_replicas={self.max_replicas}: below serve.min_replicas={self.min_replicas}",
                fix="raise it, or lower serve.min_replicas",
            )
        if not 0 < self.port <= _MAX_PORT:
            raise JobError(f"serve.port={self.port}: not a port", fix=f"give one from 1 to {_MAX_PORT}")
        if self.token_file is None and not self.is_loopback:
            raise JobError(
                f"serve.host={self.host}: anyone who reaches this address could send requests",
                fix="give serve.token_file=FILE with a bearer token, or listen on 127.0.0.1",
            )
        Allowlist.parse(self.allow)

    def check_room(self, free: Mapping[str, float], ingress_cpus: float = 0.0) -> None:
        """Raises `JobError` if `min_replicas` do not fit into the ``free`` Ray resources, given by name: Ray Serve
        would wait for more forever.
        """
        for name, key, others in (("CPU", "cpus_per_replica", ingress_cpus), ("GPU", "gpus_per_replica", 0.0)):
            each, has = getattr(self, key), free.get(name, 0.0)
            if self.min_replicas * each + others > has + _ROUNDING:
                room = f"{others:g} of the endpoint and " if others else ""
                raise JobError(
                    f"serve.min_replicas={self.min_replicas}: {has:g} {name}s are free, and {room}{self.min_replicas} "
                    f"times serve.{key}={each:g} are needed",
                    fix=f"lower serve.min_replicas or serve.{key}",
                )

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach `host`."""
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    def token_digest(self) -> bytes | None:
        """Returns the SHA-256 of the token, which itself never leaves the driver; None if requests need no token.

        Raises:
            JobError: the file cannot be read, or its token is too short to be secure.
        """
        if self.token_file is None:
            return None
        try:
            token = Storage().read(absolute(self.token_file)).strip()
        except OSError as error:
            raise JobError(
                f"serve.token_file={self.token_file}: {error.strerror or error}", fix="give a file that can be read"
            ) from None
        if len(token) < _MIN_TOKEN_CHARS:
            raise JobError(
                f"serve.token_file={self.token_file}: a token of {len(token)} characters can be guessed",
                fix=f"write at least {_MIN_TOKEN_CHARS} random ones, such as those of `openssl rand -hex 32`",
            )
        return sha256(token).digest()

    def _check_free(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host.strip("[]"), self.port), family=family).close()
        except OSError as error:
            raise JobError(
                f"serve.port={self.port} on {self.host}: {error.strerror or error}",
                fix="give another serve.port, or stop what listens there",
            ) from None


_ROUNDING = 1e-6  # in sums of resources
_MAX_PORT = 65_535
_MIN_TOKEN_CHARS = 16


@dataclass
class ServeJob:
    """Config of `python -m jobs.serve`."""

    model: Model = field(default_factory=Model)
    engine: EngineConfig = MISSING
    task: Task = MISSING
    decode: Decode = field(default_factory=Decode)
    cluster: Cluster = field(default_factory=Cluster)
    serve: Serve = field(default_factory=Serve)
    verbose: bool = False
    """Show Ray's logs, and the traceback of unexpected errors."""
    log: Log = field(default_factory=Log)

    def check(self) -> None:
        """Raises `JobError` if a value is out of range, or if values cannot be combined."""
        self.serve.check()
        self.decode.check()
        self.cluster.check()
        if self.serve.roll_out and self.cluster.address is None:
            raise JobError(
                "serve.roll_out: a Ray that starts now has no endpoint",
                fix="give cluster.address=HOST:PORT, which the running command logs",
            )

    @property
    def job(self) -> Job:
        """A job with the same model, engine and task, without a dataset."""
        return Job(model=self.model, engine=self.engine, task=self.task, decode=self.decode)
