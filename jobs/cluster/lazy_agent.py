"""Waits in place of Ray's agent for runtime environments, and becomes that agent when the raylet first calls it. Run by
the raylet as a script, with the agent's own arguments.

Most jobs need no runtime environment, and the agent takes almost a second of CPU to start.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from pathlib import Path


def wait_and_become(agent: list[str]) -> None:
    """Binds the agent's port, stores it where the raylet looks for it, and runs ``agent`` on the first connection,
    which the raylet repeats. Returns when the raylet, at the other end of standard input, exits.

    Args:
        agent: path of the agent's script, then its arguments, of which ``--runtime-env-agent-port`` is replaced.
    """
    options = dict(argument.split("=", 1) for argument in agent[1:] if argument.startswith("--") and "=" in argument)
    address = options["--node-ip-address"]
    with socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        port = server.getsockname()[1]
        file = Path(options["--session-dir"], f"runtime_env_agent_port_{options['--node-id']}")
        new = file.with_name(f"{file.name}.new")
        new.write_text(str(port), encoding="ascii")
        new.rename(file)
        if sys.stdin in select.select([sys.stdin, server], [], [])[0]:
            return
    os.execv(sys.executable, [sys.executable, "-u", *agent, f"--runtime-env-agent-port={port}"])  # noqa: S606


if __name__ == "__main__":
    wait_and_become(sys.argv[1:])
