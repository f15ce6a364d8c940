"""The first step of a submitted job, on the head of the cluster: says what the interpreter there lacks, then runs the
verb in this very process. Needs nothing but the standard library, and parses on any Python 3.7.
"""

from __future__ import annotations

import runpy
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

STDOUT = "\x1f"
"""Before each line that the verb writes to standard output: the log of a Ray job does not tell it from the rest."""

PYTHON = (3, 11)
NEEDED = {
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
    "duckdb": ("duckdb", (2,)),
    "obstore": ("obstore", (0, 12)),
    "arro3-core": ("arro3.core", (0, 6)),
    "safetensors": ("safetensors", (0, 6)),
    "rich": ("rich", (14,)),
    "pathspec": ("pathspec", (1,)),
    "aiohttp": ("aiohttp", (3, 14)),
    "yarl": ("yarl", (1, 20)),
}
"""Of each distribution that pyproject.toml asks for, what is imported of it, and the least version."""

JOB_WRONG = 2


def main(arguments: list[str]) -> None:
    """Runs the verb, the first of ``arguments``, with the others, and ends as it does; or ends with status 2."""
    problem = lacking(sys.version_info[:2])
    if problem:
        where = "the cluster's python, " + sys.executable + " (" + sys.version.split()[0] + ")"
        sys.stderr.write("error: " + where + ": " + problem + "\n  cure: " + CURE + "\n")
        sys.exit(JOB_WRONG)
    verb, sys.argv[1:] = arguments[0], arguments[1:]
    marked = MarkedLines(sys.stdout)
    sys.stdout = marked
    try:
        runpy.run_module("jobs." + verb, run_name="__main__", alter_sys=True)
    finally:
        marked.end()


def lacking(python: tuple[int, ...], needed: dict[str, tuple[str, tuple[int, ...]]] = NEEDED) -> str | None:
    """What an interpreter of the version ``python`` lacks, in words; None where it has all."""
    if python < PYTHON:
        return "too old; " + _dotted(PYTHON) + " or newer is needed"
    faults = [fault for name, (module, least) in needed.items() for fault in [_fault(name, module, least)] if fault]
    return "lacks " + ", ".join(faults) if faults else None


CURE = (
    "use an image that has them, such as that of k8s/Dockerfile, or install shardlens with the versions of "
    "constraints.txt for that python; it is the first python on the PATH of the head"
)


class MarkedLines:
    """Standard output with `STDOUT` before each line, which is written whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
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
        """A last line without its end is written too."""
        if self._begun:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _fault(name: str, module: str, least: tuple[int, ...]) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  not in a Python that is too old
    from importlib.util import find_spec  # noqa: PLC0415

    try:
        is_there = find_spec(module) is not None
    except ImportError:  # its parent is not there
        is_there = False
    if not is_there:
        return module + " (of the package " + name + ")"
    try:
        installed = version(name)
    except PackageNotFoundError:  # another distribution brings it, as onnxruntime-gpu brings onnxruntime
        return None
    is_older = _numbers(installed) < least
    return name + " " + _dotted(least) + " or newer (it is " + installed + ")" if is_older else None


def _numbers(version: str) -> tuple[int, ...]:
    leading = version.split("+", maxsplit=1)[0].split(".")[:3]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in leading)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)


if __name__ == "__main__":
    main(sys.argv[1:])
