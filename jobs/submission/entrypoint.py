"""Entrypoint of a submitted job, on the head node: checks the interpreter for missing requirements, then runs the verb
in this process. Uses only the standard library, and parses on Python 3.7 and later.
"""

from __future__ import annotations

import platform
import runpy
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

# The unit separator: `actors.escapes.printable` escapes it, so that no line of the verb begins with it.
STDOUT = "\x1f"
"""Marks each line that the verb writes to standard output: the log of a Ray job merges all streams."""

PYTHON = (3, 11)
REQUIREMENTS = {
    "ray": ("ray", (2, 60)),
    "torch": ("torch", (2, 13)),
    "pyarrow": ("pyarrow", (22,)),
    "onnxruntime-gpu": ("onnxruntime", (1, 24)),
    "onnxruntime": ("onnxruntime", (1, 24)),
    "onnx": ("onnx", (1, 19)),
    "onnxscript": ("onnxscript", (0, 7)),
    "hydra-core": ("hydra", (1, 3, 2)),
    "numpy": ("numpy", (2, 1)),
    "pillow": ("PIL", (13,)),
    "simplejpeg": ("simplejpeg", (1, 8)),
    **(
        {"cykooz-resizer": ("cykooz_resizer", (4,))}
        if sys.platform != "linux" or platform.machine() == "x86_64"
        else {}
    ),
    "duckdb": ("duckdb", (2,)),
    "obstore": ("obstore", (0, 12)),
    "arro3-core": ("arro3.core", (0, 6)),
    "safetensors": ("safetensors", (0, 6)),
    "rich": ("rich", (14,)),
    "jinja2": ("jinja2", (3, 1)),
    "pathspec": ("pathspec", (1,)),
    "aiohttp": ("aiohttp", (3, 14)),
    "yarl": ("yarl", (1, 20)),
}
"""Module and minimum version of each distribution that pyproject.toml requires; OpenVINO, which has no wheels for some
platforms, may be missing.
"""

# `ExitStatus.JOB_WRONG`, whose module imports packages that may be missing here.
JOB_WRONG = 2


def main(arguments: list[str]) -> None:
    """Runs the verb ``arguments[0]`` with the other arguments and exits with its status, or with 2 if it cannot run."""
    problem = missing_requirements(sys.version_info[:2])
    if problem:
        where = "the cluster's python, " + sys.executable + " (" + sys.version.split()[0] + ")"
        sys.stderr.write("error: " + where + ": " + problem + "\n  fix: " + FIX + "\n")
        sys.exit(JOB_WRONG)
    verb, sys.argv[1:] = arguments[0], arguments[1:]
    marked = MarkedLines(sys.stdout)
    sys.stdout = marked
    # In this process: a child process would write to its inherited standard output without the marks.
    try:
        runpy.run_module("jobs." + verb, run_name="__main__", alter_sys=True)
    finally:
        marked.end()


def missing_requirements(
    python: tuple[int, ...], needed: dict[str, tuple[str, tuple[int, ...]]] = REQUIREMENTS
) -> str | None:
    """Describes what an interpreter of version ``python`` lacks; None if nothing is missing."""
    if python < PYTHON:
        return "too old; " + _dotted(PYTHON) + " or newer is needed"
    faults = [fault for name, (module, least) in needed.items() for fault in [_fault(name, module, least)] if fault]
    return "lacks " + ", ".join(faults) if faults else None


FIX = (
    "use an image that has them, such as that of k8s/Dockerfile, or install shardlens with the versions in "
    "constraints.txt for that python, which is the first one on the PATH of the head node"
)


class MarkedLines:
    """Text stream that prefixes each line with `STDOUT` and writes only whole lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        # `print` writes a line and its end in two calls, and a line of standard error could come between them.
        self._begun = ""

    def write(self, text: str) -> int:
        lines = (self._begun + text).split("\n")
        self._begun = lines.pop()
        if lines:
            self._stream.write("".join(STDOUT + line + "\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def end(self) -> None:
        """Writes a last line that has no newline."""
        if self._begun:
            self.write("\n")

    # Libraries also ask a standard output for its encoding, its file descriptor, or whether it is a terminal.
    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _fault(name: str, module: str, least: tuple[int, ...]) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  not in a Python that is too old
    from importlib.util import find_spec  # noqa: PLC0415

    try:
        is_there = find_spec(module) is not None
    except ImportError:  # the parent package is missing
        is_there = False
    if not is_there:
        return module + " (of the package " + name + ")"
    try:
        installed = version(name)
    except PackageNotFoundError:  # provided by another distribution, such as onnxruntime by onnxruntime-gpu
        return None
    is_older = _numbers(installed) < least
    return name + " " + _dotted(least) + " or newer (it is " + installed + ")" if is_older else None


def _numbers(version: str) -> tuple[int, ...]:
    # Avoids `packaging`, which may be missing. The part after a plus is local, such as cpu in 2.13.0+cpu.
    leading = version.split("+", maxsplit=1)[0].split(".")[:3]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in leading)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)


if __name__ == "__main__":
    main(sys.argv[1:])
