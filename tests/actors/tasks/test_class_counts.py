from __future__ import annotations

from collections import Counter

import pytest
from scored import Scored

from actors.columns import TARGET
from actors.tasks.accuracy import accuracy_names
from actors.tasks.class_counts import count_answers, count_predicted
from actors.tasks.confusion import BEYOND


@pytest.mark.parametrize(("num_classes", "is_binary"), [(2, True), (3, False)])
def test_two_classes_have_scores_of_their_own(*, num_classes: int, is_binary: bool) -> None:
    scored = Scored.random(50, num_classes)
    counts = count_answers(scored.rows, scored.labels, top_k=5)
    assert ("binary/num_true_positive" in counts) is is_binary
    assert counts[accuracy_names(5)[1]] == 50
    assert accuracy_names(5)[0] not in count_answers(scored.rows, scored.labels, top_k=4)
    assert count_answers(scored.rows.drop_columns([TARGET]), scored.labels, top_k=5) == {}


def test_a_receipt_stays_small_however_many_classes_there_are() -> None:
    scored = Scored.random(3000, 1500)
    counts = count_answers(scored.rows, scored.labels, top_k=5)
    assert counts[BEYOND] > 500
    assert len(counts) < 4000


@pytest.mark.parametrize("size", [25, 100, 400])
def test_the_size_of_parts_changes_nothing(size: int) -> None:
    scored = Scored.random(400, 200)  # every other label is a name, also of classes that a part never predicts
    total = Counter[str]()
    for first in range(0, 400, size):
        total.update(count_answers(scored.rows.slice(first, size), scored.labels, top_k=5))
    assert +total == +Counter(count_answers(scored.rows, scored.labels, top_k=5))
    unnamed = count_answers(scored.rows, None, top_k=5)
    assert unnamed.keys() == {name for name in total if name.startswith(("accuracy", "calibration"))}


def test_images_are_counted_by_label_and_score_without_known_labels() -> None:
    scored = Scored.random(60, 7)
    rows = scored.rows.drop_columns([TARGET])
    counts = count_predicted(rows, scored.labels, top_k=5, has_several=False)
    of_labels = {name: number for name, number in counts.items() if name.startswith("labels/")}
    assert of_labels == {
        f"labels/{name}": rows["label"].to_pylist().count(name) for name in set(rows["label"].to_pylist())
    }
    assert sum(number for name, number in counts.items() if name.startswith("score_histogram")) == len(rows)
    assert count_predicted(rows.drop_columns(["score"]), scored.labels, top_k=5, has_several=False) == {}
    both = count_predicted(scored.rows, scored.labels, top_k=5, has_several=False)
    assert both == counts | count_answers(scored.rows, scored.labels, top_k=5)
