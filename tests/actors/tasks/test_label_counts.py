from __future__ import annotations

import pyarrow as pa

from actors.tasks.label_counts import MAX_CLASSES, count_labels, label_lines

BEST = pa.table({"label_id": pa.array([1, 0, 1, None], pa.int32()), "label": ["dog", "cat", "dog", None]})
CHOSEN = pa.table(
    {
        "label_ids": pa.array([[1, 0], [], None, [1, MAX_CLASSES]], pa.list_(pa.int32())),
        "labels": [["dog", "cat"], [], None, ["dog", "rare"]],
    }
)


def test_best_labels() -> None:
    assert count_labels(BEST, chosen=False) == {"labels/dog": 2, "labels/cat": 1}


def test_all_labels_over_the_threshold_and_those_without_a_counter() -> None:
    counts = count_labels(CHOSEN, chosen=True)
    assert counts == {"labels/dog": 2, "labels/cat": 1, "labels_beyond/num": 1}
    assert label_lines(counts) == [("labels", "dog 2, cat 1, others 1")]


def test_no_labels() -> None:
    assert count_labels(pa.table({"uri": ["a"]}), chosen=True) == {}
    assert count_labels(CHOSEN.slice(1, 1), chosen=True) == {}
    assert label_lines({}) == [("labels", "none")]


def test_the_most_frequent_come_first() -> None:
    counters = {f"labels/{number}": number + 1 for number in range(10)} | {"accuracy/num_correct": 7}
    assert label_lines(counters) == [("labels", "9 10, 8 9, 7 8, 6 7, 5 6, 4 5, 3 4, 2 3, others 3")]
