from __future__ import annotations

import pyarrow as pa
import pytest
from boxes import candidates

from actors.tasks.detection import counts
from actors.tasks.detection.counts import count_objects, object_lines
from actors.tasks.detection.rows import detections_column

BOX = (0.0, 0.0, 1.0, 1.0)
TABLE = pa.table(
    {
        "detections": detections_column(
            candidates([[(1, 0.95, BOX), (0, 0.91, BOX), (1, 0.3, BOX)], [], [(1, 1.0, BOX)]]), ["cat", "dog"]
        )
    }
)


def test_objects_are_counted_by_class_and_score() -> None:
    assert count_objects(TABLE) == {
        "images/num_with_objects": 2,
        "objects/cat": 1,
        "objects/dog": 3,
        "score_histogram/0.30": 1,
        "score_histogram/0.90": 3,
    }


def test_there_may_be_nothing_to_count() -> None:
    assert count_objects(pa.table({"uri": ["a"]})) == {}
    assert count_objects(pa.table({"detections": detections_column(candidates([[], []]), None)})) == {}
    assert count_objects(pa.table({"detections": pa.nulls(2, TABLE["detections"].type)})) == {}


def test_the_number_of_names_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MAX_CLASSES", 1)
    counted = count_objects(TABLE)
    assert {name: counted[name] for name in counted if name.startswith("objects")} == {
        "objects/cat": 1,
        "objects_beyond/num": 3,
    }
    assert object_lines(counted)[0] == ("objects", "4 in 2 images: cat 1, others 3")


def test_lines_name_the_most_frequent_classes() -> None:
    assert object_lines(count_objects(TABLE)) == [
        ("objects", "4 in 2 images: dog 3, cat 1"),
        ("scores", "from 0.90 75%, from 0.30 25%"),
    ]
    many = {f"objects/class {number}": 100 - number for number in range(20)}
    (_, text), _ = object_lines(many)
    assert "class 7 93, others 1,038" in text
    assert object_lines({}) == [("objects", "none")]
