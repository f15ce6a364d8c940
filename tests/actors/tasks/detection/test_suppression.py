from __future__ import annotations

import numpy as np
import pytest
from boxes import candidates, greedy, random_candidates

from actors.tasks.detection import suppression
from actors.tasks.detection.suppression import ranked, suppress


@pytest.mark.parametrize("seed", range(24))
def test_boxes_that_remain_are_those_of_going_box_by_box(seed: int) -> None:
    random = np.random.default_rng(seed)
    found = random_candidates(random, int(random.integers(1, 40)), int(random.integers(0, 900)), 3)
    limits = {"iou": float(random.choice([0, 0.45, 0.6, 0.7, 1])), "max_detections": int(random.integers(1, 50))}
    for class_agnostic in (False, True):
        got = suppress(found, **limits, class_agnostic=class_agnostic)
        assert got.tolist() == greedy(found, **limits, class_agnostic=class_agnostic)


def test_a_chain_of_overlaps_is_resolved_from_the_best_on() -> None:
    # Each box overlaps only its neighbours: without the second box, nothing suppresses the third.
    chain = [(0, 0.9 - place / 100, (place * 4.0, 0.0, place * 4.0 + 10, 10.0)) for place in range(300)]
    got = suppress(candidates([chain]), iou=0.4, max_detections=300)
    assert got.tolist() == list(range(0, 300, 2))


def test_an_overlap_equal_to_the_limit_is_allowed() -> None:
    found = candidates([[(0, 0.9, (0, 0, 10, 10)), (0, 0.8, (0, 0, 10, 5))]])
    assert suppress(found, iou=0.5, max_detections=9).tolist() == [0, 1]
    assert suppress(found, iou=0.499, max_detections=9).tolist() == [0]


def test_empty_boxes_suppress_nothing() -> None:
    found = candidates([[(0, 0.9, (3, 3, 3, 3)), (0, 0.8, (3, 3, 3, 3))], []])
    assert suppress(found, iou=0.5, max_detections=9).tolist() == [0, 1]
    assert suppress(candidates([[], []]), iou=0.5, max_detections=9).tolist() == []


def test_only_the_best_candidates_of_an_image_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "MAX_CANDIDATES", 2)
    apart = [(0, score, (place * 20, 0, place * 20 + 10, 10)) for place, score in enumerate([0.5, 0.9, 0.7])]
    assert suppress(candidates([apart, apart]), iou=0.5, max_detections=9).tolist() == [1, 2, 4, 5]


def test_ranks_follow_the_score_and_then_the_place() -> None:
    box = (0.0, 0.0, 1.0, 1.0)
    found = candidates([[(0, 0.5, box), (1, 0.7, box), (2, 0.5, box)], [], [(0, 0.1, box)]])
    assert ranked(found, 9).tolist() == [1, 0, 2, 3]
    assert ranked(found, 2).tolist() == [1, 0, 3]
