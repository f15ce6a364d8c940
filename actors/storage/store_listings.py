"""Complete listings of object stores: obstore treats an HTML page with status 200 as the end of a listing. Used by
`actors.storage.remote_store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import obstore
import pyarrow as pa
from obstore.exceptions import BaseError
from obstore.store import S3Store

from actors.storage.credentials import refusal
from actors.storage.retries import TransientError, transient_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pages:
    """Pages of one listing. Resumes after the last key on errors, where obstore's own stream would report the end."""

    def __init__(self, list_from: Callable[..., Any]) -> None:
        self._list_from = list_from
        self._num_keys = 0
        self._is_checked = False
        self._last_key: str | None = None
        self._stream: Iterator[Any] | None = None

    def next_page(self, store: Any) -> pa.RecordBatch | None:
        """Returns the next page, or None after the last one. May be called again after an error."""
        chunk = self._next(store)
        if chunk is None and self._num_keys % _SERVER_PAGE == 0 and not self._is_checked:
            _check_lists(store)  # the empty response may be an HTML page
            self._is_checked, self._stream = True, None
            chunk = self._next(store)
        if chunk is None:
            return None
        page = pa.record_batch(chunk)
        self._last_key = page["path"][-1].as_py()
        self._num_keys += len(page)
        self._is_checked = False
        return page

    def _next(self, store: Any) -> Any:
        if self._stream is None:
            self._stream = iter(self._list_from(store, offset=self._last_key))
        try:
            return next(self._stream, None)
        except Exception:
            self._stream = None
            raise


def children(store: Any, prefix: str) -> list[str]:
    """Returns the prefixes one level below ``prefix``."""
    found = obstore.list_with_delimiter(store, prefix or None)
    if not found["common_prefixes"] and not found["objects"]:
        _check_lists(store)
        found = obstore.list_with_delimiter(store, prefix or None)
    return list(found["common_prefixes"])


_SERVER_PAGE = 1000  # keys per page in S3 and GCS; a listing cut off between pages has a multiple of it
_HAS_NO_LENGTH = "Header missing from response"


def _check_lists(store: Any) -> None:
    """Raises a transient error if listing the root returns something else, such as an HTML page."""
    if not isinstance(store, S3Store):  # only in S3 is the object without a name the bucket's listing
        return
    try:
        answer = bytes(obstore.get(store, "").bytes())
    except (BaseError, FileNotFoundError) as error:
        if _HAS_NO_LENGTH in str(error) or not (transient_kind(error) or refusal(error)):
            return  # the root has no such object, or only the prefix is listable
        raise
    if b"<ListBucketResult" not in answer:
        raise TransientError("the answer to a listing request is not a listing", "server_error")
