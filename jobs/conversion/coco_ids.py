"""Ids of images and categories in COCO files: those of a ground truth file, or our own numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from obstore.exceptions import BaseError

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.storage.uris import absolute

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from actors.storage.store import Storage


class OwnIds:
    """Ids of our own: images are numbered from 1 in row order; a category id is its label_id."""

    def __init__(self) -> None:
        self._num_images = 0

    def images(self, names: Sequence[str]) -> np.ndarray:
        """int64 ids; -1 for an image without one."""
        first = self._num_images + 1
        self._num_images += len(names)
        return np.arange(first, first + len(names))

    def categories(self, label_ids: pa.Array, labels: pa.Array) -> np.ndarray:  # noqa: ARG002
        """int64 ids of boxes; -1 for a label without one."""
        return np.asarray(label_ids.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


class GivenIds:
    """The ids of a COCO file: images are matched by file name or its last component, categories by name."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._images = {one["file_name"]: int(one["id"]) for one in content["images"]}
        self._last = {name.rpartition("/")[2]: image_id for name, image_id in self._images.items()}
        self._categories = {one["name"]: int(one["id"]) for one in content["categories"]}

    def images(self, names: Sequence[str]) -> np.ndarray:
        """See `OwnIds`."""
        found = (self._images.get(name, self._last.get(name.rpartition("/")[2], -1)) for name in names)
        return np.fromiter(found, np.int64, len(names))

    def categories(self, label_ids: pa.Array, labels: pa.Array) -> np.ndarray:  # noqa: ARG002
        """See `OwnIds`."""
        encoded = labels.dictionary_encode()
        known = [self._categories.get(label, -1) for label in encoded.dictionary.to_pylist()]
        ids = np.array([*known, -1], np.int64)
        return np.asarray(ids[encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)])


def read_ids(place: str, storage: Storage) -> GivenIds:
    """Reads `convert.annotations` into memory, as pycocotools does. Raises `JobError` if it cannot be read."""
    where = f"convert.annotations={redacted(place)}"
    try:
        return GivenIds(json.loads(storage.read(absolute(place))))
    except (OSError, BaseError) as error:
        raise JobError(
            f"{where}: cannot be read: {one_line(error)}", fix="give a COCO file that you may read"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise JobError(
            f"{where}: no COCO annotations: {one_line(error)}", fix="give a file with images and categories"
        ) from error
