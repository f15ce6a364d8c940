from __future__ import annotations

from pathlib import Path

from compared import classified, compared, publish_run
from places import local_place

from jobs.comparison.answers import Match


def test_new_and_lost_errors_by_kind_and_images_of_one_run_alone(tmp_path: Path) -> None:
    place = local_place(tmp_path)
    a = publish_run(
        place,
        "a",
        classified([("1", "x", 0.5), ("2", "x", 0.5), ("3", "x", 0.5), ("only a", "x", 0.5)]),
        errors={"4": ("read", "not_found"), "5": ("decode", "truncated"), "6": ("decode", "truncated")},
    )
    b = publish_run(
        place,
        "b",
        classified([("1", "x", 0.5), ("4", "x", 0.5)]),
        errors={
            "2": ("decode", "truncated"), "3": ("decode", "truncated"), "5": ("decode", "truncated"),
            "6": ("decode", "too_large"), "only b": ("read", "not_found"),
        },
    )  # fmt: skip
    found = compared(a, b)
    failed = found.failures
    assert dict(failed.new) == {("decode", "truncated"): 2}
    assert dict(failed.lost) == {("read", "not_found"): 1}
    assert (failed.num_both, failed.num_changed, found.num_answers) == (2, 1, 1)
    assert failed.alone == {"a": (1, 0), "b": (0, 1)}
    # Error rows are numbered after all rows.
    assert failed.examples["lost", ("read", "not_found")] == [Match(4, 1)]
    assert failed.examples["new", ("decode", "truncated")] == [Match(1, 2), Match(2, 3)]
