"""Converts single values that timm, torchvision and transformers record. Runs on the driver."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def inexpressible(record: str, key: str, value: object, reason: str) -> JobError:
    """Returns the error for a ``value`` that no field of `actors.preprocess.Preprocess` can express.

    Args:
        record: the library or file that the record comes from.
        key: the name of the value there.
        value: the value.
        reason: the cause, as a phrase.
    """
    return JobError(f"{record}: {key}={value!r}: {reason}", fix=OWN_KEYS)


@contextmanager
def well_formed(record: str) -> Iterator[None]:
    """Raises `JobError` if a value in ``record`` has a type or a form that the library itself would not accept."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise JobError(
            f"{record}: not the record of a pre-processing: {type(error).__name__}: {one_line(error)}", fix=OWN_KEYS
        ) from error


OWN_KEYS = "set model.architecture and model.checkpoint, and set the model.preprocess keys yourself"


def side(lengths: Sequence[int]) -> int | list[int]:
    """Returns a number for one length or two equal lengths, otherwise [height, width]."""
    return lengths[0] if len({*lengths}) == 1 else list(lengths)


def interpolation(record: str, key: str, value: Any) -> str:
    """Returns ``value`` if it names a method of `actors.preprocess.Interpolation`. Raises `JobError` otherwise."""
    if value in _INTERPOLATIONS:
        return str(value)
    raise inexpressible(record, key, value, f"not one of {', '.join(_INTERPOLATIONS)}")


def numbers(record: str, key: str, values: Any, channels: int) -> list[float]:
    """Returns one number per channel; a single number counts for all. Raises `JobError` for any other length."""
    found = [float(value) for value in (values if isinstance(values, list | tuple) else [values])]
    if len(found) not in (1, channels):
        raise inexpressible(record, key, values, f"not one number for each of {channels} channels")
    return found * (channels // len(found))


_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box")
