from __future__ import annotations

import pytest
from scored import Scored

from actors.columns import TARGET
from actors.tasks.accuracy import accuracy_names
from actors.tasks.class_counts import count_answers
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
