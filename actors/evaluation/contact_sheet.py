"""Draws predicted images and their labels as one picture, for inspecting a model from Python. Needs only Pillow."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.errors import ImageError, JobError
from actors.pictures.thumbnails import within
from actors.reading.image_bytes import read_image
from actors.storage.store import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from actors.evaluation.examples import Image as Given


def contact_sheet(
    images: Sequence[Given], table: pa.Table, targets: Sequence[object], *, columns: int = 8, cell: int = 96
) -> bytes:
    """Returns one PNG of the images in rows, each with its label and score below it: green if the label is correct,
    otherwise red, followed by the known label. An image with an error is blank and shows the kind of error.

    Args:
        images: anything that `Predictor.predict` accepts.
        table: the predictions, from ``task=classify`` or ``zero_shot``.
        targets: names of the known labels; null if unknown.
        columns: images per row.
        cell: side length of an image in pixels.

    Raises:
        JobError: the three lengths differ, or there are no images.
    """
    if not len(images) == len(table) == len(targets) or not images:
        raise JobError(
            f"contact_sheet: {len(images)} images, {len(table)} rows and {len(targets)} known labels",
            fix="give one row and one label, or None, for each image, and at least one",
        )
    columns = min(columns, len(images))
    sheet = Image.new("RGB", (columns * cell, -(-len(images) // columns) * (cell + _LINE)), "white")
    drawing = ImageDraw.Draw(sheet)
    for place, (image, row, target) in enumerate(zip(images, table.to_pylist(), targets, strict=True)):
        left, top = place % columns * cell, place // columns * (cell + _LINE)
        if row["error"] is None:
            picture = Image.fromarray(_pixels(image))
            size = within(picture.size, cell - _GAP, enlarge=True)
            picture = picture.resize(size, Image.Resampling.BILINEAR)
            sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        text, colour = _caption(row, target)
        drawing.text((left + _GAP, top + cell), text, fill=colour, font_size=_LINE - _GAP)
    file = BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


_LINE, _GAP = 16, 4  # pixels


def _caption(row: dict[str, object], target: object) -> tuple[str, str]:
    if row["error"] is not None:
        return str(row["error"]), "grey"
    seen = f"{row['label']} {row['score']:.2f}"
    if target is None:
        return seen, "black"
    return (seen, "green") if str(target) == row["label"] else (f"{seen} ({target})", "red")


def _pixels(image: Given) -> np.ndarray:
    if isinstance(image, str | Path):
        read = read_image(str(image), storage=Storage())
        if isinstance(read, ImageError):
            raise JobError(f"contact_sheet: {image}: {read.message}", fix="give images that are still there")
        image = read
    return image if isinstance(image, np.ndarray) else decode(image, Decode())
