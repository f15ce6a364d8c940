from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compared import classified, compared, publish_run
from places import local_place

from jobs.comparison.answers import Match

MARKUP = "<script>alert('x')</script>"


def test_flips_scores_and_labels_are_those_that_numpy_counts(tmp_path: Path) -> None:
    place, draw = local_place(tmp_path), np.random.default_rng(0)
    names = np.array(["cat", "dog", MARKUP, "日本"])
    ids = [f"{number}" for number in range(300)]
    classes = [draw.integers(0, 4, 300) for _ in range(3)]
    scores = [draw.random(300, np.float32), draw.random(300, np.float32) ** 2]
    runs = []
    for side, own, score in zip("ab", classes, scores, strict=False):
        order = draw.permutation(300)
        answers = [(ids[i], names[own[i]], score[i], names[classes[2][i]] if i % 2 else None) for i in order]
        runs.append(publish_run(place, side, classified(answers)))
    found = compared(*runs).changes
    flipped = classes[0] != classes[1]
    assert (found.num_flips, found.flip_ratio) == (flipped.sum(), flipped.mean())
    pairs = {
        (names[i], names[j]): int((flipped & (classes[0] == i) & (classes[1] == j)).sum())
        for i in range(4)
        for j in range(4)
        if i != j
    }
    assert {(flip.before, flip.after): flip.num for flip in found.flips} == pairs
    assert [flip.num for flip in found.flips] == sorted(pairs.values(), reverse=True)
    for own in found.classes:
        is_a, is_b = (names[side] == own["class"] for side in classes[:2])
        counted = [is_a.sum(), is_b.sum(), (is_a & flipped).sum(), (is_b & flipped).sum()]
        assert [own[key] for key in ("num_a", "num_b", "num_left", "num_joined")] == counted
    (one,) = found.distributions
    assert one.a == np.histogram(scores[0], 20, (0, 1))[0].tolist()
    assert (one.mean_a, one.mean_b) == pytest.approx([score.mean() for score in scores])
    grid = np.linspace(0, 1, 1001)[1:, None]
    largest = np.abs((scores[0] < grid).mean(1) - (scores[1] < grid).mean(1)).max()
    assert found.drift == one.drift == pytest.approx(largest)
    assert found.figures["mean_score_difference"] == pytest.approx(np.abs(scores[0] - scores[1]).mean())
    known = np.arange(300) % 2 == 1
    right = [(own == classes[2])[known] for own in classes[:2]]
    assert [found.figures[f"accuracy_{side}"] for side in "ab"] == pytest.approx([own.mean() for own in right])
    assert found.figures["num_broken"] == (right[0] & ~right[1]).sum()
    assert found.figures["num_fixed"] == (right[1] & ~right[0]).sum()


def test_the_examples_of_a_pair_are_those_that_both_runs_were_sure_of(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    a = publish_run(place, "a", classified([(f"{i}", "x", 0.5 + i / 100) for i in range(30)]))
    b = publish_run(place, "b", classified([(f"{i}", "y", 0.9) for i in range(30)]))
    (flip,) = compared(a, b).changes.flips
    assert flip.examples == [Match(i, i) for i in range(29, 23, -1)]


def test_classes_without_names_in_one_run_are_compared_by_number(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    a = publish_run(place, "a", classified([("1", "0", 0.5), ("2", "1", 0.5), ("3", "1", 0.5)]))
    b = publish_run(place, "b", classified([("1", "cat", 0.5), ("2", "dog", 0.5), ("3", "cat", 0.5)]))
    found = compared(a, b).changes
    assert [(flip.before, flip.after, flip.num) for flip in found.flips] == [("1", "cat", 1)]
