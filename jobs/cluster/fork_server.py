"""Forks the workers of a Ray on this machine from a process that has imported what they need besides Ray, which takes
a worker most of a second of CPU, or three with PyTorch. `ForkServer` starts it on the driver; the raylet runs
`fork_client` for each worker.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from jobs.cluster import fork_client
from jobs.cluster.fork_client import FORKED, LENGTH_BYTES, SCRIPT, SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

IS_SUPPORTED = sys.platform == "linux"
"""False where libraries of the system do not survive a fork."""

CLIENT = fork_client.__file__
"""Script that the raylet runs for each worker."""


class ForkServer:
    """A fork server, until exit or the end of this process. Sets the variables that `fork_client` reads.

    Args:
        script: Ray's script for a worker.
    """

    def __init__(self, script: str) -> None:
        self._script = script
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    def _start(self) -> None:
        # Only this user can enter the folder.
        folder = self._resources.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        path = str(Path(folder, "socket"))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            process = subprocess.Popen(  # noqa: S603  this Python
                [sys.executable, "-um", __name__, str(server.fileno()), self._script],
                bufsize=0,
                env=os.environ | _WITHOUT_THREADS,
                stdin=subprocess.PIPE,  # its end tells the server to exit
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[server.fileno()],
                process_group=0,  # signals to the driver's group must not reach workers
            )
        self._resources.callback(_end, process)
        self._process = process
        os.environ[SOCKET], os.environ[SCRIPT] = path, self._script
        self._resources.callback(_forget, SOCKET, SCRIPT)

    def preload(self, module: str) -> None:
        """Imports a module in the server, for workers to come."""
        with suppress(BrokenPipeError):  # it has ended, and workers import for themselves
            self._process.stdin.write(f"{module}\n".encode())  # type: ignore[union-attr]  # it is a pipe

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _forget(*names: str) -> None:
    for name in names:
        os.environ.pop(name, None)


_END_S = 5.0

# Keeps OpenBLAS and Arrow's jemalloc from starting threads on import: a fork copies only the thread that calls it, and
# locks that others hold at that moment stay locked.
_WITHOUT_THREADS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}

# Imported by actors, writers and Ray. Ray's core must not be: forked workers would draw the same random ids. The
# libraries that only Ray imports would take each worker 0.35 s of CPU.
_MODULES = (
    "asyncio",
    "filelock",
    "google.protobuf.message",
    "jsonschema",
    "msgpack",
    "pandas",
    "psutil",
    "pyarrow.compute",
    "pydantic.functional_validators",
    "pydantic.main",
    "pydantic.types",
    "requests",
    "tqdm.auto",
    "uvloop",
    "yaml",
    "actors.predictor",
    "actors.reading.reader",
    "actors.writing.part_writer",
)


def serve(server: socket.socket) -> Request | None:
    """Forks a process for each request to ``server``, until standard input or the raylet ends. Returns the request in
    the new process, and None at the end. Imports each module named by a line of standard input.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps the workers
    _import(_MODULES)
    raylet: list[int] = []
    while not (ready := set(select.select([server, sys.stdin, *raylet], [], [])[0])) & set(raylet):
        if sys.stdin in ready:
            if not (line := os.read(sys.stdin.fileno(), _MOST_NAMED)):
                return None
            _import(line.decode().split())
            continue
        with suppress(OSError, ValueError), server.accept()[0] as client:
            request = _received(client)
            if not raylet:
                raylet.append(os.pidfd_open(int(request.environment["RAY_RAYLET_PID"])))
            if select.select([client], [], [], 0)[0]:  # the raylet has ended it, and starts another
                continue
            if not os.fork():
                os.close(raylet[0])
                return request
            for descriptor in request.descriptors:
                os.close(descriptor)
            client.sendall(FORKED)
    return None


_MOST_NAMED = 4096  # bytes; pipes keep shorter writes whole


def _import(names: Iterable[str]) -> None:
    for name in names:
        with suppress(ImportError):  # the worker that needs it reports it
            import_module(name)
    gc.collect()
    gc.freeze()  # collections would copy the pages that workers share


class Request(NamedTuple):
    """Command and environment of a worker."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    descriptors: list[int]
    """Standard input, output and error."""


def _received(client: socket.socket) -> Request:
    head, descriptors, _, _ = socket.recv_fds(client, LENGTH_BYTES, 3)
    with client.makefile("rb") as file:
        arguments, environment, folder = json.loads(file.read(int.from_bytes(head, "big")))
    return Request(arguments, environment, folder, descriptors)


def work(request: Request, script: str) -> None:
    """Makes this process the worker of ``request``."""
    os.setpgid(0, 0)  # at the end of a worker, the raylet ends its process group
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for target, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # Python reseeds its own generator after a fork
    sys.argv = [script, *request.arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        asked = serve(listening)
    if asked:
        work(asked, sys.argv[2])
