from __future__ import annotations

import numpy as np
import pyarrow as pa
from detected import FIELDS, MASK

from jobs.conversion.boxes import Boxes, Categories, fixed_lists, over_threshold
from jobs.conversion.json_text import plain

BOX = {"label_id": 1, "label": "dog", "score": 0.5, "xmin": 10.1, "ymin": 2, "xmax": 30, "ymax": 8}

BOX_OF_FLOATS = {**BOX, "xmin": float(np.float32(10.1))}


def rows(lists: list[list[dict[str, object]] | None], *, masks: bool = False) -> pa.Table:
    fields = [*FIELDS, ("mask", MASK)] if masks else FIELDS
    return pa.table({"detections": pa.array(lists, pa.list_(pa.struct(fields)))})


def test_boxes_are_flat_and_know_their_image() -> None:
    boxes = Boxes.of(rows([[BOX, BOX], None, [], [{**BOX, "label": "cat"}]]))
    assert len(boxes) == 3
    assert boxes.image.tolist() == [0, 0, 3]
    assert boxes.label.to_pylist() == ["dog", "dog", "cat"]
    assert boxes.xywh.tolist() == [[10.1, 2, 19.9, 6]] * 3
    assert boxes.by_image(boxes.label_id).to_pylist() == [[1, 1], [], [], [1]]
    assert boxes.mask is None


def test_boxes_below_a_threshold_are_left_out() -> None:
    lists = plain(rows([[BOX, {**BOX, "score": 0.25}], None, [{**BOX, "score": 0.1}], [BOX]])["detections"])
    kept, num_lower = over_threshold(lists, 0.25)
    assert [[box["score"] for box in boxes] for boxes in kept.to_pylist()] == [[0.5, 0.25], [], [], [0.5]]
    assert num_lower == 1
    assert kept.type == lists.type
    assert over_threshold(lists.slice(2), 0.25)[0].to_pylist() == [[], [BOX_OF_FLOATS]]


def test_a_slice_of_a_batch_has_its_own_boxes() -> None:
    boxes = Boxes.of(rows([[BOX], [{**BOX, "label": "cat"}], []]).slice(1))
    assert boxes.label.to_pylist() == ["cat"]
    assert boxes.image.tolist() == [0]


def test_no_boxes_at_all() -> None:
    boxes = Boxes.of(rows([[], None]))
    assert len(boxes) == 0
    assert boxes.xywh.shape == (0, 4)
    assert fixed_lists(boxes.xywh).to_pylist() == []


def test_masks_are_text() -> None:
    masked = {**BOX, "mask": {"size": [4, 6], "counts": rb"0o\1"}}
    boxes = Boxes.of(rows([[masked, {**BOX, "mask": None}]], masks=True))
    assert boxes.mask is not None
    assert boxes.mask.to_pylist() == [{"size": [4, 6], "counts": r"0o\1"}, None]


def test_categories_are_those_that_occur() -> None:
    categories = Categories()
    categories.add(pa.array([3, 1, 3, None], pa.int32()), pa.array(["c", "a", "other", "x"]))
    categories.add(pa.array([2, 1], pa.int32()), pa.array([None, "a"], pa.string()))
    categories.add(pa.array([], pa.int32()), pa.array([], pa.string()))
    assert [key for key, _ in categories.ordered()] == [1, 2, 3]
    assert categories.labels[1] == "a"
    assert categories.labels[2] == "2"


def test_rows_of_an_array_become_lists() -> None:
    assert fixed_lists(np.array([[1.5, 2], [3, 4]])).to_pylist() == [[1.5, 2], [3, 4]]
