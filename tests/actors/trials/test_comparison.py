"""Comparison of answers with those of the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actors.tasks.parity import Agreement
from actors.trials.comparison import Answers, Trial, compare


def equal(reference: dict[str, np.ndarray], candidate: dict[str, np.ndarray]) -> Agreement:
    difference = float(np.abs(reference["x"] - candidate["x"]).max())
    return Agreement({"difference": difference}, ["the answer for image 1 differs"] if difference else [])


def answers(*rows: int, wrong: float = 0.0) -> Answers:
    return Answers({"x": np.array(rows, np.float64) + wrong}, np.array(rows))


URIS = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


def test_answers_are_compared_image_by_image() -> None:
    trial = Trial("some", 5.0)
    held = compare(answers(0, 2, 3), trial, answers(0, 1, 2, 3), equal, URIS)
    assert held == replace(trial, figures={"difference": 0.0})
    wrong = compare(answers(0, 3), trial, answers(0, 3, wrong=0.5), equal, URIS)
    assert wrong.breaches == ["the answer for d.jpg differs"]
    missing = compare(answers(0, 1, 2), trial, answers(1), equal, URIS)
    assert missing.breaches == ["fails on 2 images on which the reference succeeds"]
