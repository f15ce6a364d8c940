"""Makes thumbnails of images on request; each is reread through the inventory of the run. Used on the driver, by
several threads at once.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from jobs.pages.picked_rows import read_rows
from jobs.pages.picture_files import Thumbnail, make_thumbnails

if TYPE_CHECKING:
    from actors.row_ranges import Identity
    from actors.storage.store import Storage
    from jobs.pages.picked_rows import Place
    from jobs.runs.source_images import SourceImages


class Pictures:
    """Makes thumbnails, and caches the most recent ones.

    Args:
        source: the images.
        storage: storage of the parts.
    """

    def __init__(self, source: SourceImages, storage: Storage) -> None:
        self._source, self._storage = source, storage
        self._kept: OrderedDict[Identity, Thumbnail] = OrderedDict()
        self._lock = threading.Lock()
        self._room = threading.Semaphore(_AT_ONCE)

    def get(self, identity: Identity, place: Place) -> Thumbnail:
        """Returns the thumbnail of an image, with its boxes or masks drawn; one without bytes states the reason. Never
        raises for an image.

        Args:
            identity: shard and row in the inventory.
            place: position of the row in its part.
        """
        with self._lock:
            if identity in self._kept:
                self._kept.move_to_end(identity)
                return self._kept[identity]
        with self._room:
            (row,) = read_rows(place[0], [place[1]], self._storage)
            made = make_thumbnails(self._source, {identity: row}, end=time.monotonic() + _SECONDS)[identity]
        with self._lock:
            self._kept[identity] = made
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        return made


_AT_ONCE = 2  # images in memory: one may take up to 1.2 GB
_SECONDS = 20.0
_MAX_KEPT = 2000  # a few kilobytes each
