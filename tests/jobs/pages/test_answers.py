from __future__ import annotations

from pages import facts_of

from jobs.pages.answers import distribution, score_histogram


def test_labels_are_counted_most_frequent_first() -> None:
    found = distribution(facts_of())
    assert found is not None
    assert [(bar.name, bar.number, bar.percent, bar.width) for bar in found.bars] == [
        ("cat", 6, "66.7 %", 100),
        ("dog", 3, "33.3 %", 50),
    ]


def test_rare_labels_share_a_bar() -> None:
    counters = {f"labels/{number:04d}": 10 for number in range(50)} | {"labels_beyond/num": 7}
    found = distribution(facts_of(counters=counters))
    assert found is not None
    assert len(found.bars) == 21
    assert (found.bars[0].width, found.bars[-1].width) == (100, 0)
    assert found.bars[-1].number == 307
    assert sum(bar.number for bar in found.bars) == 507


def test_objects_and_pixels_are_shown_as_such() -> None:
    counters = {"objects/car": 3, "images/num_with_objects": 2, "score_histogram/0.30": 3}
    found, scores = distribution(facts_of(counters=counters)), score_histogram(facts_of(counters=counters))
    assert found is not None
    assert found.title == "Objects by class"
    assert scores is not None
    assert scores.text == "Scores of 3 objects: from 0.3 100 %"
    pixels = distribution(facts_of(counters={"pixels/sky": 9}))
    assert pixels is not None
    assert pixels.unit == "pixels"


def test_a_task_without_classes_has_neither() -> None:
    assert distribution(facts_of(counters={})) is None
    assert score_histogram(facts_of(counters={})) is None
