"""Instance masks at the size of the source image, from Mask R-CNN's masks within boxes. Runs in the predictor."""

from __future__ import annotations

import numpy as np

from actors.tasks.segmentation.run_lengths import encode_crop


def encode_instance(
    mask_hw: np.ndarray, box_xyxy: np.ndarray, height: int, width: int, threshold: float = 0.5
) -> bytes:
    """Returns COCO's run lengths of a mask, pasted like torchvision's ``paste_masks_in_image``.

    Args:
        mask_hw: probabilities inside the box, float32 (m, m).
        box_xyxy: the box in source pixels; may extend beyond the source.
        height: of the source.
        width: of the source.
        threshold: pixels with a higher probability belong to the mask.
    """
    side = len(mask_hw)
    padded = np.pad(mask_hw, _BORDER)
    # A border of zeros, and a box enlarged by the same ratio.
    left, top, right, bottom = _expanded(box_xyxy.astype(np.float32), np.float32((side + 2 * _BORDER) / side))
    x, y = (
        _places(first, last, limit, len(padded)) for first, last, limit in ((left, right, width), (top, bottom, height))
    )
    first_row, first_column = max(0, top), max(0, left)
    crop = np.empty((len(y[0]), len(x[0])), bool)
    across = padded[:, x[0]] * (1 - x[2]) + padded[:, x[1]] * x[2]
    for first in range(0, len(crop), step := max(1, _STRIP // max(1, crop.shape[1]))):
        lower, upper, weight = (each[first : first + step] for each in y)
        values = across[lower] * (1 - weight[:, None]) + across[upper] * weight[:, None]
        np.greater(values, np.float32(threshold), out=crop[first : first + step])
    return encode_crop(crop, (first_row, first_column), height, width)


_BORDER = 1
_STRIP = 1 << 20  # pixels interpolated at once


def _expanded(box_xyxy: np.ndarray, scale: np.float32) -> list[int]:
    """Scales the box by ``scale`` around its centre, truncated to integers. In float32, like torchvision."""
    half, centre = (box_xyxy[2:] - box_xyxy[:2]) * np.float32(0.5), (box_xyxy[2:] + box_xyxy[:2]) * np.float32(0.5)
    half = half * scale
    return [int(corner) for corner in (*(centre - half), *(centre + half))]


def _places(first: int, last: int, limit: int, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns lower and upper cells, and upper weights, for pixels ``first`` to ``last``, out of 0 to ``limit``."""
    length = max(1, last - first + 1)
    pixels = np.arange(max(0, first), min(last + 1, limit), dtype=np.float32) - np.float32(first)
    slope, half = np.float32(cells) / np.float32(length), np.float32(0.5)
    places = np.maximum(slope * (pixels + half) - half, np.float32(0))
    lower = np.minimum(places.astype(np.intp), cells - 1)
    return lower, np.minimum(lower + 1, cells - 1), (places - lower).astype(np.float32)
