"""Compares latency, requests per second and memory of `jobs.serve` with a plain FastAPI app on the same engine.

    PYTHONPATH=tests/fixtures python tests/benchmarks/serving.py [--requests 2000] [--clients 32] KEY=VALUE ...

The overrides are those of `jobs.serve` and apply to both. Each client keeps one connection and sends its next image
after the answer to the previous one. The two servers take turns in each round, so that a slow moment of the machine
does not affect only one. Both receive the same images, and their answers are compared. Memory is the proportional set
size (PSS) of all processes of a server, after a warm-up and after the last request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
from digit_images import encoded
from processes import environment

PLAIN = [sys.executable, str(Path(__file__).parent / "peers" / "plain_app.py")]
SERVE = [sys.executable, "-m", "jobs.serve"]
HEALTH = {"plain": "openapi.json", "serve": "v2/health/ready"}
WARM_UP = 200
READY_S = 300.0


@dataclass
class Figures:
    """Latencies, answers and memory of one server, over all rounds."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    failures: int = 0
    rows: dict[int, Any] = field(default_factory=dict)
    """Answers by image."""
    memory_mib: list[int] = field(default_factory=list)
    """Values before and after, by round."""

    def summary(self) -> dict[str, Any]:
        cuts = statistics.quantiles(self.latencies_ms, n=100)
        return {
            "requests_per_s": round(len(self.latencies_ms) / self.seconds, 1),
            **{f"p{part}_ms": round(cuts[part - 1], 1) for part in (50, 95, 99)},
            "failures": self.failures,
            "memory_mib": self.memory_mib,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--images", type=Path, help="folder of JPEGs; by default the digits of the sample")
    parser.add_argument("--only", choices=["plain", "serve"])
    arguments, overrides = parser.parse_known_args()
    images = images_of(arguments.images)
    figures = {name: Figures() for name in ("plain", "serve") if arguments.only in {None, name}}
    for _ in range(arguments.rounds):
        for name, one in figures.items():
            with running(name, overrides) as (port, server):
                measure(one, port, server, images, arguments)
    result: dict[str, Any] = {name: one.summary() for name, one in figures.items()}
    if len(figures) > 1:
        plain, serve = figures.values()
        result["ratio"] = round(result["serve"]["requests_per_s"] / result["plain"]["requests_per_s"], 2)
        result |= agreement(plain.rows, serve.rows)
    print(json.dumps({"cpu": cpu(), "overrides": overrides, **result}, indent=1))


def images_of(folder: Path | None) -> list[bytes]:
    if folder is None:
        return encoded()
    return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:500]]


@contextmanager
def running(name: str, overrides: Sequence[str]) -> Iterator[tuple[int, psutil.Process]]:
    """Starts a server in its own process; yields once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*PLAIN, str(port)] if name == "plain" else [*SERVE, f"serve.port={port}"]
    process = subprocess.Popen([*command, *overrides], env=environment(), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S
        while not is_up(f"http://127.0.0.1:{port}/{HEALTH[name]}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} does not start")
            time.sleep(0.2)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own server
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def measure(
    figures: Figures, port: int, server: psutil.Process, images: Sequence[bytes], arguments: argparse.Namespace
) -> None:
    asyncio.run(clients(Figures(), port, images, WARM_UP, arguments.clients))
    figures.memory_mib.append(memory_mib(server))
    started = time.perf_counter()
    asyncio.run(clients(figures, port, images, arguments.requests, arguments.clients))
    figures.seconds += time.perf_counter() - started
    figures.memory_mib.append(memory_mib(server))


async def clients(figures: Figures, port: int, images: Sequence[bytes], count: int, num_clients: int) -> None:
    numbers = iter(range(count))
    await asyncio.gather(*(client(figures, port, images, numbers) for _ in range(num_clients)))


async def client(figures: Figures, port: int, images: Sequence[bytes], numbers: Iterator[int]) -> None:
    """Sends the images of ``numbers``, which all clients share, one after another."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        image = images[number % len(images)]
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n"
        started = time.perf_counter()
        writer.write(head.encode() + image)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        figures.latencies_ms.append(1e3 * (time.perf_counter() - started))
        if answer.split(b" ", 2)[1] == b"200":
            figures.rows[number % len(images)] = json.loads(body)
        else:
            figures.failures += 1
    writer.close()


def memory_mib(server: psutil.Process) -> int:
    processes = [server, *server.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in processes) >> 20


def agreement(some: dict[int, Any], others: dict[int, Any]) -> dict[str, Any]:
    """Counts images whose best class differs, and finds the largest difference between scores of the same rank."""
    assert some.keys() == others.keys()
    pairs = [(row, others[number]) for number, row in some.items()]
    return {
        "different_labels": sum(one["label_id"] != other["label_id"] for one, other in pairs),
        "largest_difference": max(
            abs(a - b) for one, other in pairs for a, b in zip(one["top_scores"], other["top_scores"], strict=True)
        ),
    }


def cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{psutil.cpu_count()} threads of {name}"


if __name__ == "__main__":
    main()
