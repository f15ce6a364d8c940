from __future__ import annotations

from pages import LABELLED, facts_of

from jobs.pages.truth import truth

NAMES = {0: "cat", 1: "dog"}


def test_the_matrix_has_known_labels_as_rows_and_leads_to_pictures() -> None:
    found = truth(facts_of(counters=LABELLED, metrics={"top1": 77.8, "ece": 0.1}), ["cell/cat/dog"], NAMES)
    assert found is not None
    assert list(found.scores) == [("Accuracy", "77.8 %"), ("Expected calibration error", "0.1000")]
    assert list(found.names) == ["cat", "dog"]
    assert [(known, [cell.number for cell in row]) for known, row in found.matrix] == [("cat", [5, 1]), ("dog", [1, 2])]
    cell = found.matrix[0][1][1]
    assert (cell.group, cell.is_right, cell.is_deep) == ("cell/cat/dog", False, False)
    assert not found.matrix[1][1][0].group
    assert [(one.known, one.predicted) for one in found.confused] == [("cat", "dog"), ("dog", "cat")]
    assert [row.name for row in found.weakest] == ["dog", "cat"]
    assert found.calibration is not None
    assert found.calibration.text == "score 0.90: 77.8 % right of 9"


def test_labels_that_are_no_class_have_a_row_of_their_own() -> None:
    found = truth(facts_of(counters={**LABELLED, "confusion/-1/0": 4}, metrics={"top1": 50.0}), [], NAMES)
    assert found is not None
    known, row = found.matrix[-1]
    assert known == "(not a class of the model)"
    assert [cell.number for cell in row] == [4, 0]


def test_many_classes_have_a_list_in_place_of_a_matrix() -> None:
    counters = {f"confusion/{number}/{number}": 1 for number in range(40)} | {"confusion/7/9": 3}
    found = truth(facts_of(counters=counters, metrics={"top1": 93.0}), [], {})
    assert found is not None
    assert not found.matrix
    assert [(cell.known, cell.predicted, cell.number) for cell in found.confused] == [("7", "9", 3)]


def test_a_run_without_labels_has_none() -> None:
    assert truth(facts_of(), [], NAMES) is None
