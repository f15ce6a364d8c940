from __future__ import annotations

import math

import pytest

from actors.errors import JobError
from jobs.evaluating.config import Evaluate
from jobs.evaluating.gates import breaches, check_limits

NAMES = ("top1", "ece", "mae")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Evaluate(fail_under={"top_1": 0.5}), "evaluate.fail_under.top_1(.|\n)*did you mean top1.*top1, ece, mae"),
        (Evaluate(fail_under={"top1": 75}), "evaluate.fail_under.top1=75: not from 0 to 1(.|\n)*0.75 for 75 percent"),
        (Evaluate(fail_over={"ece": math.nan}), "evaluate.fail_over.ece=nan: not from 0 to 1"),
    ],
)
def test_limits_that_could_not_work_are_refused(wanted: Evaluate, said: str) -> None:
    with pytest.raises(JobError, match=said):
        check_limits(wanted, NAMES)


def test_limits_are_shares_and_hold_at_equality() -> None:
    wanted = Evaluate(fail_under={"top1": 0.75}, fail_over={"mae": 7.5, "ece": 0.1})
    check_limits(wanted, NAMES)
    assert breaches(wanted, {"top1": 75.0, "mae": 7.5, "ece": 0.05}) == []
    assert breaches(wanted, {"top1": 74.9, "mae": 7.6, "ece": math.nan}) == [
        "evaluate.fail_under.top1=0.75: top1 is 0.749",
        "evaluate.fail_over.mae=7.5: mae is 7.6",
        "evaluate.fail_over.ece=0.1: ece is nan",
    ]
    assert breaches(Evaluate(fail_under={"ece": 0.1}), {}) == [
        "evaluate.fail_under.ece=0.1: ece could not be computed from these images"
    ]
