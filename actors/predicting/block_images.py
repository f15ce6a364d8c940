"""Batches of the images of a block. Used in the predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


class BlockImages:
    """Images in several consecutive arrays, such as the chunks of a column.

    Args:
        arrays: uint8 of shapes (n, height, width, 3), n from 0; may be read-only.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._arrays = arrays
        self._borders = np.cumsum([0, *map(len, arrays)])

    def batch(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Returns the images at ``rows``, then blank ones; a view where none is blank and the images are contiguous.

        Args:
            rows: positions across all arrays, ascending, at least one.
            size: number of images in the batch.
        """
        first, stop = int(rows[0]), int(rows[-1]) + 1
        place = int(np.searchsorted(self._borders, first, side="right")) - 1
        start = self._borders[place]
        if stop - first == len(rows) == size and stop <= self._borders[place + 1]:
            return self._arrays[place][first - start : stop - start]
        return self._gathered(rows, size)

    def _gathered(self, rows: np.ndarray, size: int) -> np.ndarray:
        batch = np.empty((size, *self._arrays[0].shape[1:]), np.uint8)
        cuts = np.searchsorted(rows, self._borders)
        for array, border, start, stop in zip(self._arrays, self._borders[:-1], cuts[:-1], cuts[1:], strict=True):
            batch[start:stop] = array[rows[start:stop] - border]
        batch[len(rows) :] = 0  # blank: answers must not depend on leftovers in memory
        return batch
