from __future__ import annotations

import pyarrow as pa

from actors.tasks.segmentation.counts import MAX_CLASSES, count_pixels, pixel_lines
from actors.tasks.segmentation.rows import classes_field


def rows(*images: dict[str, int]) -> pa.Table:
    ids = {"sky": 0, "road": 1, "rare": MAX_CLASSES}
    classes = [
        [{"label_id": ids[label], "label": label, "pixels": pixels} for label, pixels in image.items()]
        for image in images
    ]
    sides = pa.array([10] * len(images), pa.int32())
    return pa.table(
        {"width": sides, "height": sides, "classes": pa.array(classes, classes_field(has_masks=False).type)}
    )


def test_pixels_add_up_to_those_of_the_pictures() -> None:
    counts = count_pixels(rows({"sky": 40, "road": 60}, {"road": 50, "rare": 20}))
    assert counts == {"pixels/sky": 40, "pixels/road": 110, "pixels_beyond/num": 20, "pixels_void/num": 30}
    assert count_pixels(pa.table({"image_id": ["a"]})) == {}
    assert count_pixels(rows({})) == {"pixels_void/num": 100}


def test_the_report_has_the_most_usual_classes() -> None:
    assert pixel_lines(count_pixels(rows({"sky": 40, "road": 60}, {"road": 50, "rare": 20}))) == [
        ("pixels", "road 55.0%, sky 20.0%, others 10.0%, without a class 15.0%")
    ]
    many = {f"pixels/{number:02}": 10 for number in range(10)}
    assert pixel_lines(many)[0][1].endswith("07 10.0%, others 20.0%")
    assert pixel_lines({}) == []
