"""Distinguishes a damaged file from one that is temporarily unreadable. Used wherever output files are read."""

from __future__ import annotations

import pyarrow as pa


def is_damage(error: BaseException) -> bool:
    """Returns True if the bytes themselves caused ``error``, rather than reading them.

    For an invalid footer or page, Arrow raises a plain OSError without errno.
    """
    return isinstance(error, _CONTENT_ERRORS) or (type(error) is OSError and error.errno is None)


_CONTENT_ERRORS = (
    pa.ArrowException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
