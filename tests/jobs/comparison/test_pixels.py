from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from compared import compared, publish_run
from places import local_place

from actors.tasks.segment import MaskForm, Segment
from actors.tasks.segmentation.class_maps import count_classes
from actors.tasks.segmentation.png import encode_png
from actors.tasks.segmentation.rows import classes_column, masks_array
from actors.tasks.segmentation.run_lengths import encode_classes
from jobs.comparison.answers import Match

LABELS = ["sky", "road", "<b>"]


def segmented(maps: dict[str, np.ndarray], form: MaskForm) -> pa.Table:
    found = [dict(enumerate(count_classes(own).tolist())) for own in maps.values()]
    found = [{class_id: number for class_id, number in own.items() if number and class_id < 3} for own in found]
    sizes = np.array([own.shape for own in maps.values()])
    runs = [runs for own in maps.values() for class_id, runs in encode_classes(own).items() if class_id < 3]
    whole = masks_array(runs, np.repeat(sizes, [len(own) for own in found], axis=0))
    is_png = form is MaskForm.png
    return pa.table(
        {
            "image_id": [*maps],
            "width": pa.array(sizes[:, 1], pa.int32()),
            "height": pa.array(sizes[:, 0], pa.int32()),
            **({"mask": [encode_png(own) for own in maps.values()]} if is_png else {}),
            "classes": classes_column(found, LABELS, None if is_png else whole),
        }
    )


@pytest.mark.parametrize("forms", [("png", "png"), ("png", "rle"), ("rle", "rle")])
def test_pixels_flip_between_classes_whatever_the_form_of_the_masks(forms: tuple[str, str], tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    maps = [
        {
            "1": draw.integers(0, 3, (7, 9)).astype(np.uint8),
            "2": np.full((4, 4), 1, np.uint8),
            "3": np.zeros((2, 2), np.uint8),
        }
        for _ in range(2)
    ]
    maps[1]["3"] = np.zeros((2, 3), np.uint8)  # a different size: nothing agrees
    maps[0]["1"][0, :2] = 255  # no class
    maps[1]["1"][0, :2] = [255, 0]
    runs = [
        publish_run(local_place(tmp_path), side, segmented(own, MaskForm[form]), task=Segment(mask=MaskForm[form]))
        for side, own, form in zip("ab", maps, forms, strict=True)
    ]
    found = compared(*runs).changes
    before, after = (own["1"] for own in maps)
    equal = int((before == after).sum()) + 16
    assert found.figures["num_equal_pixels"] == equal
    assert found.figures["num_pixels"] == 63 + 16 + 4
    assert found.flip_ratio == pytest.approx(1 - equal / 83)
    assert found.num_flips == 2
    counts = {(flip.before, flip.after): flip.num for flip in found.flips}
    names = {0: "sky", 1: "road", 2: "<b>", 255: None}
    expected: dict[tuple[str | None, str | None], int] = {}
    for i, j in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True):
        if i != j:
            expected[names[i], names[j]] = expected.get((names[i], names[j]), 0) + 1
    assert counts == expected
    assert found.examples["Least agreement"] == [Match(2, 2), Match(0, 0)]
