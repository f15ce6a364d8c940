"""Pixels of several images: in memory as a numpy array, or on a GPU as a PyTorch tensor. Does not import PyTorch, so
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
    """Returns ``pixels_nhwc`` as an array in host memory, without copying if it is already there."""
    return pixels_nhwc if isinstance(pixels_nhwc, np.ndarray) else pixels_nhwc.cpu().numpy()


def put(pixels_nhwc: Pixels, places: Sequence[int], images_nhwc: np.ndarray) -> None:
    """Overwrites the images at ``places``, in one transfer."""
    pixels_nhwc[places] = _on_device(images_nhwc, pixels_nhwc)


def gathered(arrays: Sequence[Any], rows: np.ndarray, size: int) -> Any:
    """Copies images from several consecutive arrays on one device into a new array.

    Args:
        arrays: at least one; all are `Pixels` of the same kind, which the result also has.
        rows: positions across all arrays, ascending.
        size: number of images in the result; those after ``rows`` are blank.
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


def find_flat(pixels_nhwc: Pixels, visible_yx: tuple[int, int], padding: Sequence[int]) -> np.ndarray:
    """Returns a mask of the images of a single colour, such as black images: bool (n,). Reads them on their device.

    Args:
        pixels_nhwc: the images.
        visible_yx: position of a pixel that is padding in no image.
        padding: colour of the padding.
    """
    (y, x), colour = visible_yx, _on_device(np.array(padding, np.uint8), pixels_nhwc)
    is_visible: Any = pixels_nhwc == pixels_nhwc[:, y : y + 1, x : x + 1]
    is_padding: Any = pixels_nhwc == colour
    return to_host((is_visible.all(-1) | is_padding.all(-1)).all((1, 2)))


def _on_device(values: np.ndarray, pixels_nhwc: Pixels) -> Any:
    """Returns ``values`` as an array or a tensor, like ``pixels_nhwc``."""
    return values if isinstance(pixels_nhwc, np.ndarray) else pixels_nhwc.new_tensor(values)
