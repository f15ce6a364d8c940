from __future__ import annotations

import pyarrow as pa

from jobs.conversion.coco_ids import GivenIds, OwnIds

TRUTH = {
    "images": [{"id": 7, "file_name": "val/a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
}


def test_own_ids_count_on_from_batch_to_batch() -> None:
    ids = OwnIds()
    assert ids.images(["a", "b"]).tolist() == [1, 2]
    assert ids.images([]).tolist() == []
    assert ids.images(["c"]).tolist() == [3]
    assert ids.categories(pa.array([5, 0], pa.int32()), pa.array(["x", "y"])).tolist() == [5, 0]


def test_given_ids_go_by_name() -> None:
    ids = GivenIds(TRUTH)
    assert ids.images(["val/a.jpg", "a.jpg", "photos/b.jpg", "c.jpg"]).tolist() == [7, 7, 9, -1]
    labels = pa.array(["car", "dog", None, "bird", "dog"])
    assert ids.categories(pa.array(range(5), pa.int32()), labels).tolist() == [3, 18, -1, -1, 18]
    assert ids.categories(pa.array([], pa.int32()), pa.array([], pa.string())).tolist() == []
