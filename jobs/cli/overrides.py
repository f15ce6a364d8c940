"""Quotes command line arguments so that Hydra reads text as text, and drops a plus sign before a known key. Runs on the
driver, before Hydra.
"""

from __future__ import annotations

import re
import types
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from jobs.cli.config_errors import quoted
from jobs.schemas import GROUPS, ROOTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def as_typed(arguments: Sequence[str]) -> list[str]:
    """Quotes the values that Hydra would not read literally, and lets a source replace the model of a dataset.

    ``dataset.path=2024_01_15`` is a number to Hydra, and ``#``, ``=``, brackets and other scripts are syntax errors.
    Quoted values, lists and interpolations are unchanged; a comma separates values only with ``--multirun``.
    """
    if any(_SOURCE.match(argument) for argument in arguments) and not any(map(_MODEL.match, arguments)):
        # A dataset may include its own model, like the sample, whose keys would override those of the source.
        arguments = [*arguments, "model=custom"]
    # Hydra 1.3 reads a comma as a list of choices even without the flag, and then rejects it.
    sweeps = not {"-m", "--multirun"}.isdisjoint(arguments)
    return [_override(argument, sweeps=sweeps) for argument in arguments]


_SOURCE, _MODEL = re.compile(r"\+{0,2}model\.source=."), re.compile(r"\+{0,2}model=")
_OVERRIDE = re.compile(r"(\+{0,2})([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
# One name or a list of them.
_TEXTS_OF_ANY_TYPE = frozenset({"dataset.path", "model.labels", "task.prompts", "task.output"})


def _override(argument: str, *, sweeps: bool) -> str:
    parts = _OVERRIDE.fullmatch(argument)
    if parts is None:
        return argument
    plus, key, value = parts.groups()
    # Hydra refuses to add a key that exists. The defaults have no dataset, so its group needs the plus sign.
    if plus == "+" and key != "dataset" and (key in GROUPS or _is_single(key)):
        plus = ""
    if key in GROUPS:
        return f"{plus}{key}={value}"  # the name of a file in conf/, never quoted
    # The type of the key decides: if any type is allowed, as in model.kwargs, a quoted number would be text.
    is_text = key in _TEXTS_OF_ANY_TYPE or any(map(_is_text, _hints(key) or _hints_of_entry(key)))
    return f"{plus}{key}={_value(value, is_text=is_text, sweeps=sweeps)}"


def _value(value: str, *, is_text: bool, sweeps: bool) -> str:
    parsed = _parsed(value)
    if parsed is None:
        if value.startswith("{") and not is_text:
            return value  # a mapping: Hydra reports the error in it
        return _with_quoted_parts(value, sweeps=sweeps)
    if not is_text or (parsed.value_type is ValueType.ELEMENT and _is_kept(parsed.value(), value)):
        return value
    if parsed.value_type is ValueType.ELEMENT or (parsed.value_type is ValueType.SIMPLE_CHOICE_SWEEP and not sweeps):
        return _with_quoted_parts(value, sweeps=sweeps)
    return value


def _is_kept(element: Any, written: str) -> bool:
    """Returns True if Hydra parses the element as the literal text."""
    if isinstance(element, list):
        return all(not isinstance(item, bool | int | float) for item in element)
    return not isinstance(element, bool | int | float) and (not isinstance(element, str) or written == written.strip())


def _with_quoted_parts(value: str, *, sweeps: bool) -> str:
    is_list = value.startswith("[") and value.endswith("]")
    if (is_list or sweeps) and ('"' in value or "'" in value):
        return value  # the user has quoted it
    if is_list:
        return f"[{','.join(map(_quoted_part, value[1:-1].split(',')))}]"
    return ",".join(map(_quoted_part, value.split(","))) if sweeps else quoted(value)


def _quoted_part(part: str) -> str:
    parsed = _parsed(part)
    return part if parsed is not None and isinstance(parsed.value(), str) else quoted(part.strip())


def _parsed(value: str) -> Any:
    try:
        # Hydra's own parser, so that exactly what it would change is quoted.
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None


def _is_single(key: str) -> bool:
    """Returns True if a verb knows the key and it is not a mapping, which would accept new entries."""
    hints = _hints(key)
    return bool(hints) and all(get_origin(hint) is not dict for hint in hints)


def _hints(key: str) -> list[Any]:
    """Types of a key in the configs of all verbs; empty if no verb knows it."""
    # Of all verbs: the overrides of `jobs.submit` include those of another verb.
    owners: list[Any] = list(ROOTS)
    names = key.split(".")
    for depth, name in enumerate(names):
        found = [hint for owner in owners for hint in _fields(owner).get(name, ())]
        if depth == len(names) - 1:
            return found
        owners = [part for hint in found for part in _parts(hint)]
        owners += GROUPS.get(name, ()) if depth == 0 else ()
    return []


def _hints_of_entry(key: str) -> list[Any]:
    """Types of the values of the mapping, such as `storage_options`, that ``key`` is an entry of."""
    mapping, _, _ = key.rpartition(".")
    return [get_args(hint)[1] for hint in _hints(mapping) if get_origin(hint) is dict]


@cache  # `get_type_hints` evaluates every annotation of the class
def _fields(owner: Any) -> dict[str, tuple[Any, ...]]:
    return {name: (hint,) for name, hint in get_type_hints(owner).items()} if is_dataclass(owner) else {}


def _is_text(hint: Any) -> bool:
    if get_origin(hint) is list:
        return _is_text(get_args(hint)[0])
    parts = set(_parts(hint)) - {types.NoneType}
    return parts == {str}


def _parts(hint: Any) -> Iterator[Any]:
    yield from get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
