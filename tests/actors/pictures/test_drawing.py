from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from odd_images import encode
from PIL import Image

from actors.pictures.drawing import MAX_OBJECTS, colour, draw
from actors.tasks.segmentation.png import encode_png
from actors.tasks.segmentation.run_lengths import encode as run_lengths

SIZE = {"width": 400, "height": 200}
GREY = Image.new("RGB", (100, 50), (90, 90, 90))


def box(label_id: int, corners: tuple[float, ...], label: str = "", **more: Any) -> dict[str, Any]:
    return {
        "label_id": label_id,
        "label": label,
        "score": 0.9,
        **dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)),
        **more,
    }


def drawn(row: dict[str, Any], image: Image.Image = GREY) -> np.ndarray:
    return np.asarray(draw(image, row))


def is_drawn(pixels: np.ndarray) -> np.ndarray:
    return np.asarray((pixels != 90).any(axis=-1))


def test_boxes_are_where_they_should_be_in_the_colour_of_their_class() -> None:
    pixels = drawn({**SIZE, "detections": [box(1, (80, 40, 240, 160)), box(2, (300, 0, 400, 200))]})
    edge = np.zeros((50, 100), bool)
    edge[10:40, 20:60] = edge[0:50, 75:100] = True
    edge[12:38, 22:58] = edge[2:48, 77:98] = False  # lines of two pixels, inside the box
    np.testing.assert_array_equal(is_drawn(pixels), edge)
    assert tuple(pixels[10, 20]) == tuple(pixels[39, 59]) == colour(1)
    assert tuple(pixels[0, 99]) == colour(2)
    assert (np.asarray(GREY) == 90).all()


def test_the_best_box_lies_on_top_and_carries_its_label() -> None:
    same = (0, 0, 400, 200)
    pixels = drawn({**SIZE, "detections": [box(1, same, "cat\n\u202e"), box(2, same)]})
    assert tuple(pixels[49, 99]) == colour(1)
    assert is_drawn(pixels[3:10, 3:20]).mean() > 0.8
    hundreds = [box(1, (0, 0, 40, 40))] * MAX_OBJECTS + [box(2, (360, 160, 400, 200))] * 300
    assert not is_drawn(drawn({**SIZE, "detections": hundreds}))[30:, 60:].any()


def test_masks_of_objects_are_translucent() -> None:
    inside = np.zeros((200, 400), bool)
    inside[100:, :100] = True
    mask = {"size": [200, 400], "counts": run_lengths(inside)}
    pixels = drawn({**SIZE, "detections": [box(3, (300, 0, 400, 20), mask=mask)]})
    wanted = is_drawn(drawn({**SIZE, "detections": [box(3, (300, 0, 400, 20))]}))
    wanted[25:, :25] = True
    np.testing.assert_array_equal(is_drawn(pixels), wanted)
    blended = 0.55 * 90 + 0.45 * np.array(colour(3))
    assert np.abs(pixels[40, 10] - blended).max() <= 1


@pytest.mark.parametrize("form", ["png", "rle"])
def test_classes_of_pixels_are_drawn_but_the_background(form: str) -> None:
    class_map = np.zeros((200, 400), np.uint8)
    class_map[:100, 200:] = 7
    class_map[100:, :] = 255  # no class
    classes = [{"label_id": 0, "label": "background"}, {"label_id": 7, "label": "road"}]
    if form == "png":
        row = {"mask": encode_png(class_map), "classes": classes}
    else:
        masks = [{"mask": {"size": [200, 400], "counts": run_lengths(class_map == one["label_id"])}} for one in classes]
        row = {"classes": [{**one, **mask} for one, mask in zip(classes, masks, strict=True)]}
    found = is_drawn(drawn({**SIZE, **row}))
    wanted = np.zeros((50, 100), bool)
    wanted[:25, 50:] = True
    np.testing.assert_array_equal(found, wanted)


def test_maps_of_many_classes_have_16_bits() -> None:
    class_map = np.full((200, 400), 300, np.uint16)
    row = {"mask": encode_png(class_map), "classes": [{"label_id": 300, "label": "door"}]}
    assert is_drawn(drawn({**SIZE, **row})).all()


@pytest.mark.parametrize(
    "row",
    [
        {"label": "cat"},
        {"detections": []},
        {"width": 0, "height": 0, "detections": [box(1, (0, 0, 9, 9))]},
        {**SIZE, "detections": None, "classes": None, "mask": None},
        {**SIZE, "classes": [{"label_id": 0, "label": "x", "mask": {"size": [9, 9], "counts": b"0"}}]},
        {**SIZE, "mask": encode(Image.new("L", (9, 9)), "PNG"), "classes": [{"label_id": 0, "label": "x"}]},
    ],
)
def test_what_does_not_fit_the_picture_is_left_out(row: dict[str, Any]) -> None:
    assert not is_drawn(drawn(row)).any()


def test_neighbouring_classes_have_different_colours() -> None:
    colours = np.array([colour(label_id) for label_id in range(90)])
    assert (np.abs(np.diff(colours, axis=0)).max(axis=1) > 100).all()
    assert len({tuple(one) for one in colours.tolist()}) == 90
