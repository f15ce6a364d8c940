"""Imports OpenVINO without its telemetry, and shortens its errors to one line. Used where its engine runs a model."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENVINO_ERRORS = (RuntimeError, ValueError)
"""Raised for a model that OpenVINO cannot read, compile or run; ValueError if a name is not UTF-8."""


def load_openvino() -> Any:
    """Returns the module ``openvino``, imported on the first call.

    Blocks its model converter, which is not needed here: on import, the converter sends a message to a web service and
    writes files to the user's home folder. OpenVINO works without it.

    Raises:
        JobError: the package is not installed, or does not work here.
    """
    converter = sys.modules.get(_CONVERTER)
    if converter is None:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # makes the import of it fail
    try:
        import openvino  # noqa: PLC0415  it is optional
    except ImportError as error:
        raise JobError(
            f"engine=openvino: OpenVINO cannot be imported: {one_line(error)}",
            fix="pip install openvino where the workers run, or choose another engine",
        ) from error
    finally:
        if converter is None:
            del sys.modules[_CONVERTER]
    return openvino


@contextmanager
def plain_errors() -> Iterator[None]:
    """Re-raises OpenVINO's RuntimeError as one line, without the leading references to its source code."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(_reason(error)) from error


_CONVERTER = "openvino.tools.ovc"
_PLACES = ("Exception from ", "Check '")
_MAX_CHARS = 300  # of a message: OpenVINO may list every node of the graph


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    reason = " ".join(line for line in lines if line and not line.startswith(_PLACES)) or one_line(error)
    return reason if len(reason) <= _MAX_CHARS else f"{reason[: _MAX_CHARS - 1]}…"
