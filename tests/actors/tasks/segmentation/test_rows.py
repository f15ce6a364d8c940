from __future__ import annotations

import numpy as np

from actors.tasks.segmentation.rows import classes_column, classes_field, mask_field, masks_array


def test_classes_are_lists_of_structs() -> None:
    column = classes_column([{0: 5, 2: 7}, {}, {1: 1}], ["a", "b", "c"])
    assert column.type == classes_field(has_masks=False).type
    assert column.to_pylist() == [
        [{"label_id": 0, "label": "a", "pixels": 5}, {"label_id": 2, "label": "c", "pixels": 7}],
        [],
        [{"label_id": 1, "label": "b", "pixels": 1}],
    ]


def test_without_labels_the_number_is_the_name() -> None:
    masks = masks_array([b"x"], np.array([[3, 4]]))
    column = classes_column([{}, {7: 2}], None, masks)
    assert column.type == classes_field(has_masks=True).type
    (entry,) = column.to_pylist()[1]
    assert entry == {"label_id": 7, "label": "7", "pixels": 2, "mask": {"size": [3, 4], "counts": b"x"}}


def test_no_masks_and_no_classes() -> None:
    assert len(masks_array([], np.empty((0, 2)))) == 0
    assert classes_column([{}], None).to_pylist() == [[]]
    assert mask_field().name == "mask"
