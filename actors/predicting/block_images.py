"""Batches of the images of a block. Used in the predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.pixel_arrays import gathered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.pixel_arrays import Pixels


class BlockImages:
    """Images in several consecutive arrays, such as the chunks of a column.

    Args:
        arrays: uint8 of shapes (n, height, width, 3), n from 0, on one device; may be read-only.
    """

    def __init__(self, arrays: Sequence[Pixels]) -> None:
        self._arrays = arrays
        self._borders = np.cumsum([0, *map(len, arrays)])

    def batch(self, rows: np.ndarray, size: int) -> Pixels:
        """Returns the images at ``rows``, then blank images; a view if none is blank and the images are contiguous.

        Args:
            rows: positions across all arrays, ascending, at least one.
            size: number of images in the batch.
        """
        first, stop = int(rows[0]), int(rows[-1]) + 1
        place = int(np.searchsorted(self._borders, first, side="right")) - 1
        start = int(self._borders[place])
        if stop - first == len(rows) == size and stop <= self._borders[place + 1]:
            return self._arrays[place][first - start : stop - start]
        batch: Pixels = gathered(self._arrays, rows, size)
        return batch
