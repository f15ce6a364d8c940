"""JSON that somebody else may have written: parsed within bounds, or refused with one kind of error. Used wherever
documents of an output are read, on driver and workers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from actors.storage.damage import is_damage
from actors.storage.store import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.storage.store import Storage

MAX_SMALL_BYTES = 16 << 20
"""For documents whose size does not grow with the number of parts."""
MAX_BYTES = 1 << 30
"""For manifests, which name every part."""


def read_object(
    uri: str, storage: Storage, *, max_bytes: int = MAX_SMALL_BYTES, allow_nan: bool = False
) -> dict[str, Any]:
    """`parse_object` of the file ``uri``, of which no more than ``max_bytes`` are read.

    Raises:
        ValueError: it is damaged.
        OSError, obstore.exceptions.BaseError: it is not there, or cannot be read.
    """
    try:
        data = storage.read(uri, max_bytes=max_bytes)
    except TooLargeError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        if is_damage(error):  # a folder or a named pipe in its place
            raise ValueError(str(error)) from error
        raise
    return parse_object(data, max_bytes=max_bytes, allow_nan=allow_nan)


def parse_object(
    data: bytes,
    *,
    max_bytes: int = MAX_SMALL_BYTES,
    convert: Callable[[dict[str, Any]], Any] | None = None,
    allow_nan: bool = False,
) -> dict[str, Any]:
    """The JSON object that ``data`` holds as UTF-8.

    Args:
        data: the whole document.
        max_bytes: what is longer is not parsed.
        convert: replaces each object, the innermost first.
        allow_nan: takes NaN and infinities, as Python writes them.

    Raises:
        ValueError: it is too long, nested too deeply, no JSON, or no object; or a key stands twice in one object, or
            a number is NaN or infinite, which JSON does not have.
    """
    if len(data) > max_bytes:
        raise ValueError(f"{len(data):,} bytes, which is more than {max_bytes:,}")

    def as_object(pairs: Sequence[tuple[str, Any]]) -> Any:
        content = dict(pairs)
        if len(content) < len(pairs):
            raise ValueError(f"the key {_repeated(pairs)!r} stands twice in one object")
        return convert(content) if convert is not None else content

    try:
        refuse = None if allow_nan else _refuse
        content = json.loads(data.decode(), object_pairs_hook=as_object, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004  ValueError is all that is not of the format
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _repeated(pairs: Sequence[tuple[str, Any]]) -> str:
    keys = [key for key, _ in pairs]
    return next(key for key in keys if keys.count(key) > 1)
