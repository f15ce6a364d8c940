from __future__ import annotations

import math
from pathlib import Path

import pytest
from compared import classified, compared, publish_run
from places import local_place

from actors.errors import JobError
from jobs.comparison.config import Compare
from jobs.comparison.gates import breaches, check, check_limits

BOTH = ("max_flip_ratio", "max_drift")


def test_limits_are_kept_up_to_their_value_and_all_that_are_exceeded_are_named(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    a = publish_run(place, "a", classified([(f"{i}", "x", 0.5) for i in range(8)]))
    b = publish_run(
        place, "b", classified([("0", "y", 0.5), *((f"{i}", "x", 0.5) for i in range(1, 5))]),
        errors={"5": ("read", "not_found"), "6": ("read", "not_found")},
    )  # fmt: skip
    found = compared(a, b)
    assert breaches(check(Compare(max_flip_ratio=0.2, max_new_errors=2, max_drift=0, max_missing=1), found)) == []
    assert breaches(check(Compare(max_flip_ratio=0.19, max_new_errors=1, max_missing=0), found)) == [
        "compare.max_flip_ratio=0.19: the flip ratio is 0.2",
        "compare.max_new_errors=1: the number of new errors is 2",
        "compare.max_missing=0: the number of images that run B lacks is 1",
    ]
    assert check(Compare(), found) == []


@pytest.mark.parametrize(
    ("wanted", "limits", "message"),
    [
        (Compare(max_flip_ratio=5), BOTH, "max_flip_ratio=5: not from 0 to 1"),
        (Compare(max_drift=-1), BOTH, "max_drift=-1: below 0"),
        (Compare(max_drift=math.nan), BOTH, "max_drift=nan: below 0"),
        (Compare(max_flip_ratio=0.1), ("max_drift",), "task=embed cannot exceed it: its answers name no classes"),
        (Compare(max_drift=0.1), ("max_flip_ratio",), "it has no scores"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(wanted: Compare, limits: tuple[str, ...], message: str) -> None:
    with pytest.raises(JobError, match=message):
        check_limits(wanted, "embed", limits)
    check_limits(Compare(max_flip_ratio=0, max_drift=7, max_new_errors=0), "classify", BOTH)
