"""Captions of pictures: the prediction, the known label, or the error."""

from __future__ import annotations

import base64
import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from actors.columns import IMAGE_ID, TARGET
from jobs.pages.wording import listing, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.pages.gallery import Picture


@dataclass(frozen=True)
class Captioned:
    """A picture as rendered by the macro ``picture`` in ``macros.html``; all texts are untrusted."""

    name: str
    short_name: str
    """The last part, which differs between images."""
    title: str
    lines: Sequence[str]
    message: str
    alt: str
    source: str
    """Data URI; empty if there is no thumbnail."""
    width: int
    height: int
    is_small: bool
    """True if the picture is small enough to be enlarged."""
    is_wrong: bool
    note: str


def captioned(picture: Picture) -> Captioned:
    row = picture.row
    title, lines = _answer(row)
    known = row.get(TARGET)
    is_wrong = known is not None and "label" in row and str(known) not in (str(row["label"]), str(row.get("label_id")))
    if is_wrong:
        lines = [*lines, f"known: {known}"]
    message = str(row["message"]) if _is_failed(row) else ""
    name = str(row.get(IMAGE_ID) or "")
    width, height = _size(picture.thumbnail)
    return Captioned(
        name=name,
        short_name=name.rstrip("/").rpartition("/")[2] or name,
        title=title,
        lines=lines,
        message=message,
        alt=", ".join(text for text in (f"image {name}", title, *lines) if text),
        source=data_uri(picture.thumbnail),
        width=width,
        height=height,
        is_small=0 < max(width, height) < _SMALL,
        is_wrong=is_wrong,
        note=picture.note,
    )


def data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}" if webp else ""


def _answer(row: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Returns the title and further lines for the columns of any task."""
    if _is_failed(row):
        return f"{row['stage']}/{row['error']}", []
    if row.get("label") is not None:
        second = list(zip(row.get("top_labels") or (), row.get("top_scores") or (), strict=False))[1:2]
        lines = [f"then {name} · {_score(score)}" for name, score in second if score >= _WORTH_NAMING]
        return f"{row['label']} · {_score(row.get('score'))}", lines
    if row.get("detections") is not None:
        return _objects(row["detections"])
    if row.get("classes") is not None:
        ordered = sorted(row["classes"], key=lambda one: -one["pixels"])
        total = (row.get("width") or 0) * (row.get("height") or 0)
        named = [f"{one['label']} {percent(one['pixels'], total)}" for one in ordered]
        return listing(named, 1), named[1:3]
    numbers = [f"{name} {value:.4g}" for name, value in row.items() if isinstance(value, float)]
    return listing(numbers, 2), []


def _is_failed(row: Mapping[str, Any]) -> bool:
    return {"stage", "error", "message"} <= row.keys()


def _objects(detections: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    if not detections:
        return "no object", []
    numbers = Counter(str(one["label"]) for one in detections)
    named = [f"{number} {name}" for name, number in numbers.most_common()]
    return listing(named), [f"best {_score(max(one['score'] for one in detections))}"]


def _score(value: float | None) -> str:
    if value is None:
        return ""
    return percent(value) if 0 <= value <= 1 else f"{value:.4g}"


def _size(webp: bytes) -> tuple[int, int]:
    if not webp:
        return 0, 0
    with Image.open(io.BytesIO(webp)) as image:
        return image.size


_SMALL = 64  # pixels
_WORTH_NAMING = 0.01  # score of the second class
