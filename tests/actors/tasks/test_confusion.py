from __future__ import annotations

import pyarrow as pa
from scored import Scored

from actors.columns import TARGET
from actors.tasks.confusion import BEYOND, CORRECT, TRUE, count_classes, count_pairs, read_classes


def test_names_are_bounded_by_the_number_of_the_class() -> None:
    scored = Scored.random(500, 30)
    counts = count_classes(scored.rows, scored.labels, max_classes=10)
    is_beyond = (scored.targets >= 10) | (scored.scores.argmax(1) >= 10)
    assert counts[BEYOND] == is_beyond.sum()
    assert read_classes(counts, TRUE) == {own: int((scored.targets == own).sum()) for own in range(10)}
    assert max(read_classes(counts, CORRECT)) < 10
    pairs = count_pairs(scored.rows, scored.labels, max_classes=10)
    assert sum(pairs.values()) == 500 - is_beyond.sum()


def test_a_right_answer_is_on_the_diagonal_whatever_the_labels_are_called() -> None:
    rows = pa.table({TARGET: ["1", "1"], "label_id": pa.array([1, 0], pa.int32()), "label": ["0", "1"]})
    assert count_pairs(rows, ["1", "0"]) == {"confusion/1/1": 1, "confusion/0/0": 1}  # by number, by name
    assert count_pairs(rows.drop_columns([TARGET]), None) == count_classes(rows.drop_columns([TARGET]), None) == {}
