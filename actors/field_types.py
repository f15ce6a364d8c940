"""Type checks of config dataclasses for Python callers, like those of Hydra for the command line. Used on driver and
workers.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance


def coerce_fields(config: DataclassInstance, node: str) -> None:
    """Converts every field of ``config`` to its annotated type; for use in ``__post_init__``.

    Names and values of an enum become its members. Integers, paths and tuples become floats, strings and lists if the
    annotation says so. Fields annotated with Any are unchanged.

    Args:
        config: a dataclass, which may be frozen.
        node: config node of the dataclass, such as ``task``; for error messages.

    Raises:
        JobError: a value cannot be converted.
    """
    kinds = _kinds(type(config))
    for field in fields(config):
        key = f"{node}.{field.name}"
        # The class may be frozen, which only forbids the assignment.
        object.__setattr__(config, field.name, _coerced(getattr(config, field.name), kinds[field.name], key))


class _Mismatch(Exception):  # noqa: N818  internal: it never leaves this module
    """The value is not of this type."""


@cache
def _kinds(config: type) -> dict[str, Any]:
    return get_type_hints(config)


def _coerced(value: object, kind: Any, key: str) -> Any:
    try:
        return _as(kind, value)
    except _Mismatch:
        # A dictionary may hold secrets, such as the options of a store.
        shown = "" if get_origin(kind) is dict else f"={value!r}"
        raise JobError(f"{key}{shown}: not {_described(kind)}", fix=f"give {_described(kind)}") from None


def _as(kind: Any, value: Any) -> Any:
    """Converts ``value`` to ``kind``, or raises `_Mismatch`."""
    if kind is Any:
        return value
    if get_origin(kind) in (Union, UnionType):
        return _as_any_of(get_args(kind), value)
    if get_origin(kind) is list:
        return [_as(get_args(kind)[0], item) for item in _only(value, list | tuple)]
    if get_origin(kind) is dict:
        key_kind, value_kind = get_args(kind)
        return {_as(key_kind, key): _as(value_kind, item) for key, item in _only(value, Mapping).items()}
    if issubclass(kind, Enum):
        return _as_member(kind, value)
    return _SCALARS.get(kind, lambda other: _only(other, kind))(value)


def _as_any_of(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return _as(kind, value)
        except _Mismatch:
            continue
    raise _Mismatch


def _as_member(kind: type[Enum], value: Any) -> Enum:
    for member in kind:
        if value is member or (isinstance(value, str) and value in (member.name, member.value)):
            return member
    raise _Mismatch


def _as_int(value: Any) -> int:
    if isinstance(value, bool):  # an int in Python
        raise _Mismatch
    try:
        return operator.index(value)  # also accepts NumPy integers
    except TypeError:
        raise _Mismatch from None


def _as_float(value: Any) -> float:
    if isinstance(value, bool | str | bytes):  # float() also accepts them
        raise _Mismatch
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _Mismatch from None


def _as_text(value: Any) -> str:
    return os.fspath(value) if isinstance(value, os.PathLike) else str(_only(value, str))


def _only(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise _Mismatch
    return value


_SCALARS: dict[type, Callable[[Any], Any]] = {int: _as_int, float: _as_float, str: _as_text}


def _described(kind: Any) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(map(_described, get_args(kind)))
    if get_origin(kind) is list:
        return f"a list of {_PLURALS.get(get_args(kind)[0], 'values')}"
    if get_origin(kind) is dict:
        return f"a dictionary with {_PLURALS.get(get_args(kind)[1], 'values')}"
    if not isinstance(kind, type):
        return str(kind)
    if issubclass(kind, Enum):
        return f"one of {', '.join(member.name for member in kind)}"
    return _NAMES.get(kind, f"a {kind.__name__}")


_NAMES: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    NoneType: "None",
}
_PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts"}
