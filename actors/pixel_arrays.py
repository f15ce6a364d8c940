"""Pixels of several images: in memory as a numpy array, or on a GPU as a PyTorch tensor. Imports no PyTorch, so that
workers without a GPU do not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

Pixels: TypeAlias = "np.ndarray | torch.Tensor"
"""uint8 (n, height, width, 3)."""


def to_host(pixels_nhwc: Pixels) -> np.ndarray:
    """Returns ``pixels_nhwc`` as an array in memory; shares what is there already."""
    return pixels_nhwc if isinstance(pixels_nhwc, np.ndarray) else pixels_nhwc.cpu().numpy()


def put(pixels_nhwc: Pixels, places: Sequence[int], images_nhwc: np.ndarray) -> None:
    """Overwrites the images at ``places``, in one transfer."""
    if isinstance(pixels_nhwc, np.ndarray):
        pixels_nhwc[places] = images_nhwc
    else:
        pixels_nhwc[places] = pixels_nhwc.new_tensor(images_nhwc)


def gathered(arrays: Sequence[Any], rows: np.ndarray, size: int) -> Any:
    """Copies images of several consecutive arrays on one device into a new one.

    Args:
        arrays: at least one, all `Pixels` of one kind, as the result.
        rows: positions across all arrays, ascending.
        size: images of the result; those after ``rows`` are blank.
    """
    first = arrays[0]
    shape = (size, *first.shape[1:])
    batch = np.empty(shape, np.uint8) if isinstance(first, np.ndarray) else first.new_empty(shape)
    start = border = 0
    for array in arrays:
        stop = int(np.searchsorted(rows, border + len(array)))
        batch[start:stop] = array[rows[start:stop] - border]
        start, border = stop, border + len(array)
    batch[len(rows) :] = 0  # blank: answers must not depend on leftovers in memory
    return batch


def find_flat(pixels_nhwc: Pixels) -> np.ndarray:
    """Mask of the images of a single colour, such as black ones: bool (n,). Reads them on their device."""
    is_first: Any = pixels_nhwc == pixels_nhwc[:, :1, :1]  # like the pixel at the top left
    return to_host(is_first.all((1, 2, 3)))
