"""Resizes, crops and pads a decoded image to the model's input size. Runs in workers, once per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.preprocess.choices import Interpolation
from actors.preprocess.resizers import resize_averaging
from actors.preprocess.sampling import resize_nearest, resize_sampling

if TYPE_CHECKING:
    from actors.preprocess.axes import Axis
    from actors.preprocess.config import Preprocess


def fit(image_hwc: np.ndarray, preprocess: Preprocess, extent: tuple[float, float] | None = None) -> np.ndarray:
    """Resizes, crops and pads ``image_hwc`` to ``preprocess.size``: uint8 RGB (height, width, 3), C order.

    Pixels are within 2 grey levels of Pillow's resize and torchvision's centre crop. The mean difference on photographs
    is 0.02; with bilinear and size ratios such as 5 to 4, it is 0.08, since sums that end in a half round either way.
    Computes only what the crop keeps: memory is proportional to the image and the result, however elongated the image
    is. Runs on one thread.

    Args:
        image_hwc: uint8 (h, w, 3), at least 1 by 1; may be read-only. The result may share its memory.
        preprocess: a checked config. Its channels, their order and the normalisation are left to the engine.
        extent: height and width of the original in pixels of ``image_hwc``, if the decoder scaled it by a power of two,
            and so may end within the last pixel; by default the shape of ``image_hwc``. Resize and crop follow the
            original. If ``preprocess`` does not see all pixels, the image must have its full size.
    """
    height, width = extent or image_hwc.shape[:2]
    axes = preprocess.axes(height, width)
    return _padded(_resized(image_hwc, axes, preprocess), axes, preprocess)


def _resized(image_hwc: np.ndarray, axes: tuple[Axis, Axis], preprocess: Preprocess) -> np.ndarray:
    """Returns the kept part of the resized image."""
    rows, columns = axes
    is_box = preprocess.interpolation is Interpolation.box
    if is_box and not (rows.is_strip or columns.is_strip):
        # If the edge of the box falls between two pixels, the last bit of its position decides.
        whole_hwc = resize_averaging(image_hwc, (rows.whole, columns.whole), preprocess.interpolation)
        return whole_hwc[rows.start : rows.stop, columns.start : columns.stop]
    visible_hwc = image_hwc[rows.first : rows.last, columns.first : columns.last]
    if rows.source == rows.length and columns.source == columns.length:
        return visible_hwc
    if preprocess.interpolation is Interpolation.nearest:
        return resize_nearest(visible_hwc, axes)
    if not preprocess.antialias:
        return resize_sampling(visible_hwc, axes, preprocess.interpolation)
    return resize_averaging(visible_hwc, axes, preprocess.interpolation)


def _padded(visible_hwc: np.ndarray, axes: tuple[Axis, Axis], preprocess: Preprocess) -> np.ndarray:
    if visible_hwc.shape[:2] == preprocess.size:
        return np.ascontiguousarray(visible_hwc)
    fitted_hwc = np.empty((*preprocess.size, 3), np.uint8)
    fitted_hwc[:] = preprocess.pad_color
    rows, columns = axes
    fitted_hwc[rows.shown, columns.shown] = visible_hwc
    return fitted_hwc
