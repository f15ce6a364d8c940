"""An object of a remote store as a seekable file, of which only what is read is fetched. Used by `actors.storage`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import obstore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class RemoteFile(io.RawIOBase):
    """Reads the object ``key`` of an obstore client; to be wrapped in a buffer."""

    def __init__(self, store: Any, key: str) -> None:
        self._store, self._key = store, key
        self._size = int(obstore.head(store, key)["size"])
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), self._size - self._position)
        if length <= 0:
            return 0
        data = obstore.get_range(self._store, self._key, start=self._position, length=length)
        view[:length] = memoryview(data)
        self._position += length
        return length
