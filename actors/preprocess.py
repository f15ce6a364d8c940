"""Resizes and crops decoded images as the model was trained on, and gives the normalisation.

The driver reads the config node. `fit` runs in workers, once per image.
"""

from __future__ import annotations

import math
import platform
import sys
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from actors.errors import JobError
from actors.field_types import coerce_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

# The platforms for which cykooz.resizer has wheels, as in pyproject.toml. Pillow resizes elsewhere.
_HAS_SIMD = sys.platform != "linux" or platform.machine() == "x86_64"
if _HAS_SIMD:
    from cykooz_resizer import Algorithm, FilterType, PixelType
    from cykooz_resizer.rust_lib import Image as RustImage
    from cykooz_resizer.rust_lib import RustResizeOptions, RustResizer


class Interpolation(Enum):
    """Method of the resize; both antialias."""

    bilinear = "bilinear"
    bicubic = "bicubic"


@dataclass
class Preprocess:
    """Config node ``model.preprocess``: geometry and normalisation of the images of a model."""

    resize: Any = 256
    """Pixels of the shorter side (the longer follows, as in torchvision), or [height, width], or null for none."""

    crop: Any = 224
    """Side of the centre crop, or [height, width], or null for none. A smaller image gets black borders."""

    interpolation: Interpolation = Interpolation.bilinear
    """bilinear or bicubic."""

    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    """Mean of red, green and blue, for pixels scaled to 0..1."""

    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    """Standard deviation of red, green and blue, for pixels scaled to 0..1."""

    def __post_init__(self) -> None:
        coerce_fields(self, "model.preprocess")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image that the model gets. Raises `JobError` if sizes would differ."""
        side = self.resize if self.crop is None else self.crop
        if self.crop is None and not _is_pair(side):
            raise JobError(
                f"model.preprocess.crop=null with model.preprocess.resize={side}: images would differ in size",
                cure="give model.preprocess.crop, or model.preprocess.resize=[height,width]",
            )
        return _pair(side)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image of this size after the resize, by the rule of torchvision.transforms.Resize."""
        return _resized(height, width, self.resize)

    def check(self) -> None:
        """Raises `JobError` for the first invalid value, by its full key."""
        for name in ("resize", "crop"):
            _check_side(f"model.preprocess.{name}", getattr(self, name))
        _ = self.size
        for name in ("mean", "std"):
            _check_channels(f"model.preprocess.{name}", getattr(self, name))
        if min(self.std) <= 0:
            raise JobError(f"model.preprocess.std={self.std}: not above 0", cure="give three numbers above 0")
        _check_range(self)


def fit(image_hwc: np.ndarray, preprocess: Preprocess, extent: tuple[float, float] | None = None) -> np.ndarray:
    """Resizes and crops ``image_hwc`` to ``preprocess.size``: uint8 (height, width, 3), C order.

    Pixels are within 2 grey levels of Pillow's resize and torchvision's centre crop. The mean difference on photographs
    is 0.02; with bilinear and size ratios such as 5 to 4 it is 0.08, since sums ending in a half round either way.
    Computes only what the crop keeps: memory is proportional to the image and the result, however long and thin the
    image is. Runs on one thread.

    Args:
        image_hwc: uint8 (h, w, 3), at least 1 by 1; may be read-only. The result may share its memory.
        preprocess: a checked config.
        extent: height and width of the original in pixels of ``image_hwc``, if the decoder scaled it by a power of two,
            so that it may end within the last pixel; by default the shape of ``image_hwc``. Resize and crop follow
            the original.
    """
    size = preprocess.size
    height, width = extent or image_hwc.shape[:2]
    resized = _resized(height, width, preprocess.resize)
    rows = Axis.plan(height, resized[0], size[0])
    columns = Axis.plan(width, resized[1], size[1])
    visible = image_hwc[rows.first : rows.last, columns.first : columns.last]
    # Pillow rounds to 8 bits between its passes, so their order matters; this is its rule since version 13.
    is_vertical_first = rows.source - rows.length > 2 * max(0, columns.source - columns.length)
    passes = _passes(visible, (rows, columns), (0, 1) if is_vertical_first else (1, 0))
    if passes:
        resize = _resize_with_simd if _HAS_SIMD else _resize_with_pillow
        visible = resize(visible, passes, preprocess.interpolation)
    return _padded(visible, size)


def scale_and_bias(preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    """Two float32 arrays of shape (3,), such that ``pixel * scale + bias`` is ``(pixel / 255 - mean) / std``."""
    mean, std = np.asarray(preprocess.mean, np.float64), np.asarray(preprocess.std, np.float64)
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


_MAX_SIDE = 16384  # pixels; such an image is 3.2 GB as float32, and a longer side is a typing error
_MAX_WASTE = 8  # resized pixels per kept one
_NUM_CHANNELS = 3
_MAX_MEAN, _MAX_STD = 1.0, 2.0  # for pixels from 0 to 1; a std of 1 divides by nothing


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_SIDE


def _is_pair(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_side, value))  # noqa: PLR2004  h, w


def _pair(side: Any) -> tuple[int, int]:
    return (side[0], side[1]) if _is_pair(side) else (side, side)


def _check_side(key: str, value: object) -> None:
    if value is not None and not _is_side(value) and not _is_pair(value):
        raise JobError(
            f"{key}={value!r}: neither a whole number from 1 to {_MAX_SIDE}, nor [height, width] of such, nor null",
            cure=f"write for instance {key}=224 or {key}=[224,224]",
        )


def _check_channels(key: str, values: Any) -> None:
    is_right = isinstance(values, list | tuple) and len(values) == _NUM_CHANNELS and all(map(_is_number, values))
    if not is_right:
        raise JobError(
            f"{key}={values!r}: not three numbers, of red, green and blue",
            cure=f"write for instance {key}=[0.5,0.5,0.5], for pixels scaled to 0..1",
        )


def _check_range(preprocess: Preprocess) -> None:
    """Raises `JobError` for values that belong to pixels of 0..255, as in Caffe, OpenCV and mmpretrain."""
    mean, std = preprocess.mean, preprocess.std
    is_mean_large, is_std_large = max(map(abs, mean)) > _MAX_MEAN, max(std) > _MAX_STD
    if not (is_mean_large or is_std_large):
        return
    is_std_large = is_std_large or max(std) >= 1  # a std of 1 means that the model takes pixels of 0..255
    proper_mean, proper_std = (
        "[" + ",".join(f"{value / 255 if is_large else value:.6g}" for value in values) + "]"
        for values, is_large in ((mean, is_mean_large), (std, is_std_large))
    )
    raise JobError(
        f"model.preprocess.mean={mean}, model.preprocess.std={std}: for pixels of 0..255, not of 0..1",
        cure=f"divide by 255: write model.preprocess.mean={proper_mean} and model.preprocess.std={proper_std}",
    )


def _resized(height: float, width: float, resize: Any) -> tuple[int, int]:
    """The size after the resize. It is the same for an image scaled by a power of two, since floats scale exactly."""
    if resize is None:
        return int(height), int(width)
    if _is_pair(resize):
        return _pair(resize)
    if height < width:
        return resize, int(resize * width / height)
    return int(resize * height / width), resize


@dataclass(frozen=True, slots=True)
class Axis:
    """Resize and crop of one axis: ``source`` pixels become ``length``, of which start:stop are kept.

    first:last of the source are enough for them. The last pixel of the source may be a fraction.
    """

    source: float
    length: int
    start: int
    stop: int
    first: int
    last: int

    @classmethod
    def plan(cls, source: float, length: int, wanted: int) -> Axis:
        start = max(0, round((length - wanted) / 2))  # torchvision's rule for the centre
        stop = min(length, start + wanted)
        if source == length:
            return cls(source, length, start, stop, start, stop)
        scale = source / length
        reach = math.ceil(2 * max(scale, 1)) + 1  # bicubic reaches 2 pixels of the coarser grid
        first, last = int(start * scale) - reach, math.ceil(stop * scale) + reach
        return cls(source, length, start, stop, max(0, first), min(math.ceil(source), last))

    @property
    def is_strip(self) -> bool:
        """True if a resize of the whole axis would compute far more than is kept."""
        return self.length != self.source and self.length > _MAX_WASTE * (self.stop - self.start)

    @property
    def box(self) -> tuple[float, float]:
        """The kept part in pixels of the source, counted from ``first``."""
        scale = self.source / self.length
        return self.start * scale - self.first, min(self.stop * scale, self.last) - self.first


class _Pass(NamedTuple):
    """Resize along one axis: a box of the source, which may cut pixels, becomes an image of ``size``."""

    size: tuple[int, int]  # height, width
    box: tuple[float, float, float, float]  # left, top, right, bottom


def _passes(image_hwc: np.ndarray, axes: tuple[Axis, Axis], order: tuple[int, int]) -> list[_Pass]:
    """A pass for each axis that changes its length: number 0 are the rows, 1 the columns."""
    size = list(image_hwc.shape[:2])
    passes = []
    for number in order:
        axis = axes[number]
        if axis.source != axis.length:
            box = [0.0, 0.0, size[1], size[0]]
            box[1 - number], box[3 - number] = axis.box
            size[number] = axis.stop - axis.start
            passes.append(_Pass((size[0], size[1]), (box[0], box[1], box[2], box[3])))
    return passes


def _resize_with_simd(image_hwc: np.ndarray, passes: Sequence[_Pass], interpolation: Interpolation) -> np.ndarray:
    """Like `_resize_with_pillow`, in a third of the time. Computes in integers: all CPUs give the same pixels."""
    # Pillow's bicubic is the spline of Catmull and Rom.
    kernel = FilterType.bilinear if interpolation is Interpolation.bilinear else FilterType.catmull_rom
    options = RustResizeOptions().set_resize_alg(Algorithm.convolution.value, kernel.value, 0)
    height, width, _ = image_hwc.shape
    resizer, rgb = RustResizer(), PixelType.U8x3.value
    resized = RustImage(width, height, rgb, image_hwc.tobytes())
    for (height, width), (left, top, right, bottom) in passes:
        source, resized = resized, RustImage(width, height, rgb, None)
        resizer.resize(source, resized, options.set_crop_box(left, top, right - left, bottom - top))
    return np.frombuffer(resized.buffer(), np.uint8).reshape(height, width, _NUM_CHANNELS)


def _resize_with_pillow(image_hwc: np.ndarray, passes: Sequence[_Pass], interpolation: Interpolation) -> np.ndarray:
    resample = Image.Resampling[interpolation.name.upper()]
    image = Image.fromarray(image_hwc)
    for (height, width), box in passes:
        image = image.resize((width, height), resample, box)
    return np.asarray(image)


def _padded(visible: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width, _ = visible.shape
    if (height, width) == size:
        return np.ascontiguousarray(visible)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[top : top + height, left : left + width] = visible
    return fitted
