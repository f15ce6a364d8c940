from __future__ import annotations

import numpy as np
import pyarrow as pa
from boxes import candidates

from actors.tasks.detection.rows import MASK, detections_column, detections_field, size_columns, size_fields

FOUND = candidates([[(1, 0.75, (1, 2, 3, 4)), (0, 0.5, (0, 0, 9, 9))], [], [(1, 0.25, (5, 5, 6, 6))]])


def test_boxes_are_lists_of_structs() -> None:
    column = detections_column(FOUND, ["cat", "dog"])
    assert column.type == detections_field().type
    corners = {"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}
    assert column.to_pylist()[0][0] == {"label_id": 1, "label": "dog", "score": 0.75, **corners}
    assert [[box["label"] for box in boxes] for boxes in column.to_pylist()] == [["dog", "cat"], [], ["dog"]]
    column.validate(full=True)


def test_without_labels_the_number_is_the_label() -> None:
    assert detections_column(FOUND, None).flatten().field("label").to_pylist() == ["1", "0", "1"]


def test_no_boxes_at_all() -> None:
    column = detections_column(candidates([[], []]), ["cat"])
    assert column.to_pylist() == [[], []]
    assert column.type == detections_field().type


def test_masks_come_last() -> None:
    masks = pa.array([{"size": [4, 4], "counts": b"1"}] * 3, MASK.type)
    column = detections_column(FOUND, None, masks)
    assert column.type == detections_field(has_masks=True).type
    assert column.to_pylist()[2][0]["mask"] == {"size": [4, 4], "counts": b"1"}


def test_sizes_are_width_and_height() -> None:
    columns = size_columns(np.array([[10, 20], [30, 40]], np.int32))
    assert [column.to_pylist() for column in columns] == [[20, 40], [10, 30]]
    assert [column.type for column in columns] == [field.type for field in size_fields()]
