"""Draws predictions over a small picture: boxes with labels, and translucent masks. Runs where a page is built.

A row may come from any file: anything that does not fit its picture is omitted.
"""

from __future__ import annotations

import colorsys
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngImageFile

from actors.tasks.segmentation.run_lengths import lookup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_OBJECTS = 20
"""Maximum number of objects drawn per image, best first: hundreds would hide it."""


def draw(image: Image.Image, row: Mapping[str, Any]) -> Image.Image:
    """Returns a copy of ``image`` with its row's ``detections`` or pixel classes drawn on it; ``image`` itself if the
    row has neither.

    Args:
        image: the upright image of the row at any size, RGB.
        row: a published row of task=detect or segment as plain values, in pixels of the image at full size.
    """
    size = _whole(row)
    if size is None:
        return image
    objects = [found for found in row.get("detections") or [] if isinstance(found, dict)][:MAX_OBJECTS]
    layers = [*_classes(row, size, image.size), *_masks(objects, size, image.size)]
    pixels = np.asarray(image)
    for mask, label_id in layers:
        pixels = np.where(mask[:, :, None], pixels * (1 - _OPACITY) + np.array(colour(label_id)) * _OPACITY, pixels)
    drawn = Image.fromarray(pixels.astype(np.uint8)) if layers else image.copy() if objects else image
    _draw_boxes(drawn, objects, (drawn.width / size[0], drawn.height / size[1]))
    return drawn


def colour(label_id: int) -> tuple[int, int, int]:
    """Returns the red, green and blue of a class: bright, and unlike neighbouring classes."""
    # Golden ratio steps spread any number of hues.
    red, green, blue = colorsys.hsv_to_rgb(label_id * 0.618034 % 1, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


_OPACITY = 0.45
_MAX_PIXELS = 1 << 27  # of a class map
_NUM_NAMED = 4  # boxes with a written label: more would overlap
_FONT_SIZE = 10
_LABEL_LENGTH = 14
_BACKGROUND = ("background", "__background__", "_background_")


def _whole(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns the width and height of the full-size image, if the row has them."""
    width, height = row.get("width"), row.get("height")
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def _draw_boxes(image: Image.Image, objects: Sequence[Mapping[str, Any]], scale: tuple[float, float]) -> None:
    canvas = ImageDraw.Draw(image)
    line = max(1, round(max(image.size) / 64))
    boxes = [(found, [found[name] * scale[axis] for name, axis in _CORNERS]) for found in objects]
    # The best are drawn last, on top of the others.
    for place, (found, (left, top, right, bottom)) in reversed(list(enumerate(boxes))):
        corners = (left, top, max(left, right - 1), max(top, bottom - 1))
        canvas.rectangle(corners, outline=colour(found["label_id"]), width=line)
        if place < _NUM_NAMED and found["label"]:
            _write(canvas, str(found["label"]), (left, top), found["label_id"])


_CORNERS = (("xmin", 0), ("ymin", 1), ("xmax", 0), ("ymax", 1))


def _write(canvas: ImageDraw.ImageDraw, label: str, corner: tuple[float, float], label_id: int) -> None:
    """Writes a label into the top left corner of its box, on a background of its colour."""
    text = "".join(one if one.isprintable() else "?" for one in label[:_LABEL_LENGTH])
    length = canvas.textlength(text, font_size=_FONT_SIZE)
    corner = (max(0.0, min(corner[0], canvas.im.size[0] - length - 1)), corner[1])  # inside the picture
    box = canvas.textbbox(corner, text, font_size=_FONT_SIZE)
    red, green, blue = colour(label_id)
    canvas.rectangle((corner[0], corner[1], box[2] + 1, box[3] + 1), fill=(red, green, blue))
    is_bright = 0.299 * red + 0.587 * green + 0.114 * blue > 128  # noqa: PLR2004
    canvas.text(corner, text, fill="black" if is_bright else "white", font_size=_FONT_SIZE)


Layer = tuple[np.ndarray, int]  # bool (height, width) of the picture, and the class


def _masks(objects: Sequence[Mapping[str, Any]], size: tuple[int, int], shown: tuple[int, int]) -> Iterator[Layer]:
    """Yields the masks of objects or classes from their run lengths, best last."""
    places = _places(size, shown)
    for found in reversed(objects):
        mask = found.get("mask")
        if isinstance(mask, dict) and mask.get("size") == [size[1], size[0]]:
            yield lookup(mask["counts"], places), found["label_id"]


def _classes(row: Mapping[str, Any], size: tuple[int, int], shown: tuple[int, int]) -> Iterator[Layer]:
    """Yields the classes of pixels, without the background."""
    listed = [one for one in row.get("classes") or [] if isinstance(one, dict) and one.get("label") not in _BACKGROUND]
    data = row.get("mask")
    if not isinstance(data, bytes):
        yield from _masks(listed, size, shown)
        return
    with PngImageFile(BytesIO(data)) as file:
        if file.size != size or size[0] * size[1] > _MAX_PIXELS:
            return
        # By nearest class number: a mean of two would be another class.
        ids = np.asarray(file.resize(shown, Image.Resampling.NEAREST))
    yield from ((ids == one["label_id"], one["label_id"]) for one in listed)


def _places(size: tuple[int, int], shown: tuple[int, int]) -> np.ndarray:
    """Returns the full-size image's pixel at the centre of each picture pixel, counted column by column."""
    columns, rows = (
        ((np.arange(small) + 0.5) * whole / small).astype(np.int64) for whole, small in zip(size, shown, strict=True)
    )
    return columns[None, :] * size[1] + rows[:, None]
