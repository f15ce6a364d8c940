"""Checks of ``model.preprocess``; error messages name the full key. Runs on the driver."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.preprocess.choices import ChannelOrder, Interpolation, ResizeMode, Standardize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.preprocess.config import Preprocess


def check(preprocess: Preprocess) -> None:
    """Raises `JobError` for the first invalid value, naming its full key."""
    for name in ("resize", "crop"):
        _check_side(f"model.preprocess.{name}", getattr(preprocess, name))
    _ = preprocess.size
    for check_one in (_check_resize, _check_limit, _check_channels, _check_borders, _check_normalisation):
        check_one(preprocess)


def is_pair(value: object) -> bool:
    """Returns True for [height, width] in whole pixels."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_side, value))  # noqa: PLR2004  h, w


_MAX_SIDE = 16384  # pixels; such an image is 3.2 GB as float32, and a longer side is a typing error
_MAX_MEAN, _MAX_STD = 1.0, 2.0  # for pixels from 0 to 1; a std of 1 has no effect
_MAX_LEVEL = 255
_FEW_LEVELS = 3.0  # a largest pixel below this counts as a scale near 0..1; some networks expect 0..2


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_SIDE


def _check_side(key: str, value: object) -> None:
    if value is not None and not _is_side(value) and not is_pair(value):
        raise JobError(
            f"{key}={value!r}: neither a whole number from 1 to {_MAX_SIDE}, nor [height, width] of such, nor null",
            fix=f"for example, {key}=224 or {key}=[224,224]",
        )


def _check_resize(preprocess: Preprocess) -> None:
    method = preprocess.interpolation
    if preprocess.resize is None and preprocess.resize_mode is ResizeMode.longest_side:
        raise JobError(
            "model.preprocess.resize_mode=longest_side with model.preprocess.resize=null: there is no side to fit into",
            fix="give model.preprocess.resize, or model.preprocess.resize_mode=shorter_side",
        )
    if not preprocess.antialias and method in (Interpolation.lanczos, Interpolation.box):
        raise JobError(
            f"model.preprocess.antialias=false with model.preprocess.interpolation={method.value}: it has no such form",
            fix="set model.preprocess.antialias=true, or model.preprocess.interpolation=bilinear or bicubic",
        )


def _check_limit(preprocess: Preprocess) -> None:
    resize, limit = preprocess.resize, preprocess.resize_limit
    if limit is None:
        return
    key = f"model.preprocess.resize_limit={limit!r}"
    if preprocess.resize_mode is ResizeMode.longest_side or not isinstance(resize, int):
        raise JobError(
            f"{key} with model.preprocess.resize={resize}, resize_mode={preprocess.resize_mode.value}: there is no "
            "shorter side that the longer one follows",
            fix="omit model.preprocess.resize_limit, or give model.preprocess.resize one number and "
            "resize_mode=shorter_side",
        )
    if not resize <= limit <= _MAX_SIDE:
        raise JobError(
            f"{key}: not from model.preprocess.resize={resize} to {_MAX_SIDE}",
            fix="for example, model.preprocess.resize=800 and model.preprocess.resize_limit=1333",
        )


def _check_channels(preprocess: Preprocess) -> None:
    channels, order = preprocess.channels, preprocess.channel_order
    if channels not in (1, 3):
        raise JobError(
            f"model.preprocess.channels={channels}: neither 3 for colours nor 1 for grey",
            fix="set model.preprocess.channels=3 or model.preprocess.channels=1",
        )
    if channels == 1 and order is not ChannelOrder.rgb:
        raise JobError(
            f"model.preprocess.channel_order={order.value} with model.preprocess.channels=1: grey has no order",
            fix="omit model.preprocess.channel_order, or set model.preprocess.channels=3",
        )


def _check_borders(preprocess: Preprocess) -> None:
    color = preprocess.pad_color
    if len(color) != 3 or not all(0 <= value <= _MAX_LEVEL for value in color):  # noqa: PLR2004  red, green, blue
        raise JobError(
            f"model.preprocess.pad_color={color!r}: not three whole numbers from 0 to 255, of red, green and blue",
            fix="for example, model.preprocess.pad_color=[114,114,114]",
        )


def _check_normalisation(preprocess: Preprocess) -> None:
    factor = preprocess.rescale_factor
    if not (math.isfinite(factor) and factor > 0):
        raise JobError(
            f"model.preprocess.rescale_factor={factor!r}: not a number above 0",
            fix=f"set model.preprocess.rescale_factor={1 / 255} for pixels of 0..1, or 1.0 for pixels of 0..255",
        )
    if preprocess.standardize is Standardize.per_image:
        _check_unused(preprocess)
        return
    for name in ("mean", "std"):
        _check_numbers(name, preprocess)
    if min(preprocess.std) <= 0:
        raise JobError(f"model.preprocess.std={preprocess.std}: not above 0", fix="give numbers above 0")
    _check_range(preprocess)


def _check_unused(preprocess: Preprocess) -> None:
    default = type(preprocess)()
    for name in ("mean", "std"):
        value = getattr(preprocess, name)
        if value != getattr(default, name):
            raise JobError(
                f"model.preprocess.{name}={value} with model.preprocess.standardize=per_image: it would have no effect",
                fix=f"omit model.preprocess.{name}, or set model.preprocess.standardize=none",
            )


def _check_numbers(name: str, preprocess: Preprocess) -> None:
    key, values = f"model.preprocess.{name}", getattr(preprocess, name)
    if len(values) == preprocess.channels and all(map(_is_number, values)):
        return
    if preprocess.channels == 1:
        raise JobError(f"{key}={values!r}: not one number, of grey", fix=f"for example, {key}=[0.5]")
    order = "blue, green and red" if preprocess.channel_order is ChannelOrder.bgr else "red, green and blue"
    raise JobError(
        f"{key}={values!r}: not three numbers, of {order}",
        fix=f"for example, {key}=[0.5,0.5,0.5], for pixels scaled to 0..1",
    )


def _check_range(preprocess: Preprocess) -> None:
    """Raises `JobError` if mean and std are for one scale and rescale_factor for the other: Caffe, OpenCV and
    mmpretrain define them for pixels of 0..255, timm and torchvision for 0..1.
    """
    mean, std = preprocess.mean, preprocess.std
    highest = _MAX_LEVEL * preprocess.rescale_factor
    if highest > _FEW_LEVELS:
        _check_small(preprocess)
        return
    range_of_1 = max(highest, 1.0)
    is_mean_large = max(map(abs, mean)) > _MAX_MEAN * range_of_1
    is_std_large = max(std) > _MAX_STD * range_of_1
    if not (is_mean_large or is_std_large):
        return
    is_std_large = is_std_large or max(std) >= 1  # a std of 1 means that the model expects pixels of 0..255
    proper_mean, proper_std = _divided(mean, is_large=is_mean_large), _divided(std, is_large=is_std_large)
    as_they_are = "set model.preprocess.rescale_factor=1.0, or " if is_std_large else ""
    raise JobError(
        f"model.preprocess.mean={mean}, model.preprocess.std={std}: for pixels of 0..255, not of 0..1",
        fix=f"{as_they_are}divide by 255: write model.preprocess.mean={proper_mean} and "
        f"model.preprocess.std={proper_std}",
    )


def _check_small(preprocess: Preprocess) -> None:
    mean, std = preprocess.mean, preprocess.std
    if 0 < max(map(abs, mean)) <= _MAX_MEAN and max(std) < 1:
        raise JobError(
            f"model.preprocess.mean={mean}, model.preprocess.std={std}: for pixels of 0..1, not for those of "
            f"model.preprocess.rescale_factor={preprocess.rescale_factor:g}",
            fix=f"set model.preprocess.rescale_factor={1 / 255}, or multiply both by 255",
        )


def _divided(values: Sequence[float], *, is_large: bool) -> str:
    return "[" + ",".join(f"{value / 255 if is_large else value:.6g}" for value in values) + "]"
