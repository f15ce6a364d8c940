"""Parses JSON from untrusted sources within bounds, and rejects it with a single type of error. Used wherever output
documents are read, on driver and workers.
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
"""Limit for documents that do not grow with the number of parts."""
MAX_BYTES = 1 << 30
"""Limit for manifests, which name every part."""


def read_object(
    uri: str, storage: Storage, *, max_bytes: int = MAX_SMALL_BYTES, allow_nan: bool = False
) -> dict[str, Any]:
    """Reads and parses the JSON object in the file ``uri``, of at most ``max_bytes``.

    Raises:
        ValueError: the file is damaged; see `parse_object`.
        OSError, obstore.exceptions.BaseError: the file is missing, or cannot be read.
    """
    try:
        data = storage.read(uri, max_bytes=max_bytes)
    except TooLargeError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        if is_damage(error):  # such as a folder or a named pipe instead
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
    """Parses a JSON object.

    Args:
        data: the whole document, in UTF-8.
        max_bytes: size limit in bytes.
        convert: replaces each object, innermost first.
        allow_nan: accepts NaN and infinities as written by Python.

    Raises:
        ValueError: the document is too large, nested too deeply, not JSON, or not an object; an object repeats a key;
            or a number is NaN or infinite, which JSON does not allow.
    """
    if len(data) > max_bytes:
        raise ValueError(f"{len(data):,} bytes, more than the limit of {max_bytes:,}")

    # Parsers differ in which duplicate key they keep, so two readers could see different documents.
    def as_object(pairs: Sequence[tuple[str, Any]]) -> Any:
        content = dict(pairs)
        if len(content) < len(pairs):
            raise ValueError(f"the key {_repeated(pairs)!r} appears twice in one object")
        return convert(content) if convert is not None else content

    try:
        refuse = None if allow_nan else _refuse
        content = json.loads(data.decode(), object_pairs_hook=as_object, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004  callers expect one type of error
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _repeated(pairs: Sequence[tuple[str, Any]]) -> str:
    keys = [key for key, _ in pairs]
    return next(key for key in keys if keys.count(key) > 1)
