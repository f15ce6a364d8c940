from __future__ import annotations

import pyarrow as pa
import pytest

from actors.columns import TARGET
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED, count_correct

ROWS = pa.table(
    {
        TARGET: ["cat", "1", None, "dog", "cat"],
        "label_id": pa.array([0, 1, 1, 0, None], pa.int32()),
        "label": ["cat", "dog", "dog", "cat", None],
    }
)


def test_labels_count_by_name_and_by_number() -> None:
    assert count_correct(ROWS) == {NUM_LABELLED: 3, NUM_CORRECT: 2}  # "dog" was predicted as a cat


def test_labels_are_compared_in_one_normal_form() -> None:
    nfc, nfd = "z\u00e9ro", "ze\u0301ro"
    for target, label in ((nfc, nfd), (nfd, nfc)):
        rows = pa.table({TARGET: [target], "label_id": pa.array([1], pa.int32()), "label": [label]})
        assert count_correct(rows) == {NUM_LABELLED: 1, NUM_CORRECT: 1}


@pytest.mark.parametrize("missing", [[TARGET], ["label", "label_id"]])
def test_without_targets_or_labels_nothing_is_counted(missing: list[str]) -> None:
    assert count_correct(ROWS.drop_columns(missing)) == {}


def test_no_rows_at_all() -> None:
    assert count_correct(ROWS.slice(0, 0)) == {NUM_LABELLED: 0, NUM_CORRECT: 0}
