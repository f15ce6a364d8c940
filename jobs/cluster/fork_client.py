"""Asks the fork server for a worker of Ray, or runs Ray's script for a worker if there is no answer. The raylet runs it
in place of that script, with the same arguments; it imports only modules that load at once.
"""

from __future__ import annotations

import json
import os
import socket
import sys

SOCKET, SCRIPT = "SHARDLENS_FORK_SOCKET", "SHARDLENS_WORKER_SCRIPT"
"""Environment variables with the server's address and the path of Ray's script."""


def start_worker(arguments: list[str]) -> None:
    """Returns once the server has forked a worker with ``arguments``; otherwise becomes that worker.

    A worker with a runtime environment of its own, such as another Python, is not forked.
    """
    if "--runtime-env-hash=0" in arguments and _is_forked(arguments):
        return
    os.execv(sys.executable, [sys.executable, "-u", os.environ[SCRIPT], *arguments])  # noqa: S606


def _is_forked(arguments: list[str]) -> bool:
    request = json.dumps([arguments, dict(os.environ), os.getcwd()]).encode()  # noqa: PTH109  pathlib takes longer
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(os.environ[SOCKET])
            socket.send_fds(server, [len(request).to_bytes(LENGTH_BYTES, "big")], [0, 1, 2])
            server.sendall(request)
            return server.recv(1) == FORKED
    except OSError:  # it has ended
        return False


FORKED = b"y"
LENGTH_BYTES = 8


if __name__ == "__main__":
    start_worker(sys.argv[1:])
