from __future__ import annotations

import re

import pytest

from actors.errors import JobError
from actors.tasks.detection.classes import chosen_classes

LABELS = ["person", "bicycle", "car", "person"]


def test_classes_are_named_or_numbered() -> None:
    assert chosen_classes(["car", 1], LABELS).tolist() == [1, 2]
    assert chosen_classes(["person", "person"], LABELS).tolist() == [0, 3]
    assert chosen_classes([2, "0"], None).tolist() == [0, 2]
    assert chosen_classes([], LABELS).tolist() == []


@pytest.mark.parametrize(
    ("value", "labels", "fix"),
    [
        ("persn", LABELS, "did you mean person?"),
        ("Bicycles", LABELS, "did you mean bicycle?"),
        ("zebra!", LABELS, "give names of person, bicycle, car, person, or numbers from 0 to 3"),
        (4, LABELS, "or numbers from 0 to 3"),
        (-1, None, "give numbers from 0"),
        (True, None, "give numbers from 0"),
        ("car", None, "or model.labels along with names"),
        ("x", [f"{number}." for number in range(99)], "9., …, or numbers from 0 to 98"),
    ],
)
def test_an_unknown_class_is_refused(value: object, labels: list[str] | None, fix: str) -> None:
    with pytest.raises(JobError, match=re.escape(fix)) as raised:
        chosen_classes([value], labels)
    assert f"task.classes: {value!r}" in str(raised.value)
