"""Config node of the pre-processing, which is part of the model. The driver checks it; workers apply it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.preprocess.axes import Axis
from actors.preprocess.checks import check, is_pair
from actors.preprocess.choices import (
    ChannelOrder,
    CropOffset,
    Interpolation,
    Layout,
    PadPosition,
    ResizeMode,
    Standardize,
)


@dataclass
class Preprocess:
    """Config node ``model.preprocess``: geometry and normalisation of a model's images."""

    resize: Any = 256
    """Length in pixels of the side that resize_mode names (the other side follows), or [height, width], or null for no
    resize."""

    resize_mode: ResizeMode = ResizeMode.shorter_side
    """shorter_side: as in torchvision, where [height, width] is an exact size, which may distort the image.
    longest_side: the image fits into a square of that side, or into [height, width], as in a letterbox."""

    resize_limit: int | None = None
    """Maximum length of the longer side after a resize of the shorter side, which is reduced if necessary; like
    torchvision's max_size. null for no limit."""

    crop: Any = 224
    """Side of the centre crop, or [height, width], or null for no crop. A smaller image gets borders."""

    crop_offset: CropOffset = CropOffset.round
    """Rounding of the crop position if an odd number of pixels is left over: round, like Python, in torchvision and
    timm; floor in transformers."""

    interpolation: Interpolation = Interpolation.bilinear
    """nearest, bilinear, bicubic, lanczos or box, as in Pillow."""

    antialias: bool = True
    """Average all pixels when an image becomes smaller, like Pillow; false is torchvision's antialias=False on tensors,
    for bilinear and bicubic."""

    pad_color: list[int] = field(default_factory=lambda: [0, 0, 0])
    """Red, green and blue of the borders, from 0 to 255."""

    pad_position: PadPosition = PadPosition.center
    """Position of an image with borders: center or top_left."""

    channels: int = 3
    """3 colours, or 1 for grey, by Pillow's formula."""

    channel_order: ChannelOrder = ChannelOrder.rgb
    """rgb, or bgr as in Caffe and OpenCV."""

    layout: Layout = Layout.auto
    """nchw or nhwc; auto is nchw for a network, and is derived from the input shape for a model file."""

    rescale_factor: float = 1 / 255
    """Factor for pixels of 0..255 before mean and std apply; 1.0 if these are for pixels of 0..255."""

    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    """Mean of each channel in the model's channel order, for pixels times rescale_factor."""

    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    """Standard deviation of each channel in the model's channel order, for pixels times rescale_factor."""

    standardize: Standardize = Standardize.none
    """per_image: subtract the image's own mean and divide by its own deviation, like
    tf.image.per_image_standardization; mean and std then have no effect."""

    def __post_init__(self) -> None:
        coerce_fields(self, "model.preprocess")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image that the model receives. Raises `JobError` if sizes would differ."""
        side = self.resize if self.crop is None else self.crop
        is_boxed = self.resize_mode is ResizeMode.longest_side and self.resize is not None
        if self.crop is None and not is_pair(side) and not is_boxed:
            raise JobError(
                f"model.preprocess.crop=null with model.preprocess.resize={side}: images would differ in size",
                fix="give model.preprocess.crop, or model.preprocess.resize=[height,width]",
            )
        return _pair(side)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one image as a network expects it: channels, height and width, or, with nhwc, channels last."""
        is_nhwc = self.layout is Layout.nhwc
        return (*self.size, self.channels) if is_nhwc else (self.channels, *self.size)

    @property
    def sees_all(self) -> bool:
        """True if the resize averages pixels, so that the decoder may first scale the image down."""
        return self.antialias and self.interpolation is not Interpolation.nearest

    def resized(self, height: float, width: float) -> tuple[int, int]:
        """Returns height and width of an image of this size after the resize.

        The shorter side follows torchvision.transforms.Resize, the longest side timm's ResizeKeepRatio. Fractional
        sizes come from a decoder that scaled the image by a power of two; the result is that of the full image, since
        floats scale exactly.
        """
        if self.resize is None:
            return int(height), int(width)
        if self.resize_mode is ResizeMode.longest_side:
            box = _pair(self.resize)
            ratio = max(height / box[0], width / box[1])
            return max(1, round(height / ratio)), max(1, round(width / ratio))
        if is_pair(self.resize):
            return _pair(self.resize)
        shorter, longer = self.resize, int(self.resize * max(height, width) / min(height, width))
        if self.resize_limit is not None and longer > self.resize_limit:
            shorter, longer = max(1, int(self.resize_limit * shorter / longer)), self.resize_limit
        return (shorter, longer) if height < width else (longer, shorter)

    def axes(self, height: float, width: float) -> tuple[Axis, Axis]:
        """Returns resize, crop and padding of the rows and the columns of an image of this size."""
        reach = 3 if self.interpolation is Interpolation.lanczos else 2
        is_floored, at_start = self.crop_offset is CropOffset.floor, self.pad_position is PadPosition.top_left
        rows, columns = (
            Axis.plan(*lengths, reach=reach, is_floored=is_floored, at_start=at_start)
            for lengths in zip((height, width), self.resized(height, width), self.size, strict=True)
        )
        return rows, columns

    def for_pixels(self) -> Preprocess:
        """Returns the same resize, crop and padding, for a model file that accepts RGB pixels and does the rest."""
        own = {name: getattr(self, name) for name in _GEOMETRY}
        return Preprocess(**own)

    def digested(self) -> dict[str, Any]:
        """Returns the values that a fingerprint digests. Keys added after the first release count only if they differ
        from their default, so that a model keeps its earlier fingerprint.
        """
        values = {key.name: getattr(self, key.name) for key in fields(self)}
        default = Preprocess()
        return {name: value for name, value in values.items() if name in _FIRST_KEYS or value != getattr(default, name)}

    def check(self) -> None:
        """Raises `JobError` for the first invalid value, naming its full key."""
        check(self)


_GEOMETRY = (
    "resize",
    "resize_mode",
    "resize_limit",
    "crop",
    "crop_offset",
    "interpolation",
    "antialias",
    "pad_color",
    "pad_position",
)
_FIRST_KEYS = {"resize", "crop", "interpolation", "mean", "std"}


def _pair(side: Any) -> tuple[int, int]:
    return (side[0], side[1]) if is_pair(side) else (side, side)
