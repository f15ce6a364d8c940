"""Tells a damaged file from one that cannot be read just now. Used where files of an output are read."""

from __future__ import annotations

import pyarrow as pa


def is_damage(error: BaseException) -> bool:
    """Whether ``error`` comes from the bytes that were read, and not from reading them.

    For a footer or a page that makes no sense, Arrow raises a plain OSError, without the errno of the system's own.
    """
    return isinstance(error, _OF_BYTES) or (type(error) is OSError and error.errno is None)


_OF_BYTES = (
    pa.ArrowException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
