from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.launching.names import RunName, name_of_job, name_of_tick


@pytest.mark.parametrize(
    ("tick", "run_id"),
    [
        ("2026-11-22T02:00Z", "photos-202611220200"),
        ("2026-11-22T02:00", "photos-202611220200"),
        ("2026-11-22T02:00+05:30", "photos-202611212030"),
    ],
)
def test_a_moment_names_the_run_in_utc(tick: str, run_id: str) -> None:
    assert name_of_tick("photos", tick).run_id == run_id


@pytest.mark.parametrize(
    ("job", "run_id"),
    [
        ("photos-29906040", "photos-202611110200"),  # 29,906,040 minutes since 1970
        ("photos-29906041", "photos-202611110201"),
        ("photos-first", "photos-first"),
        ("again", "photos-again"),
        ("photos-2990604", "photos-2990604"),
    ],
)
def test_a_job_names_the_run_by_its_tick_or_its_own_name(job: str, run_id: str) -> None:
    assert name_of_job("photos", job).run_id == run_id


def test_attempts_are_numbered_from_the_second_on() -> None:
    run = name_of_tick("photos", "2026-11-22T02:00Z")
    assert [run.attempt(1), run.attempt(2)] == ["photos-202611220200", "photos-202611220200-2"]


def test_each_slice_of_a_run_has_rayjobs_of_its_own() -> None:
    run = RunName("photos-1", slice=2, slices=4)
    assert [run.attempt(1), run.attempt(2)] == ["photos-1-s2", "photos-1-s2-2"]
    assert run.overrides == "run.id=photos-1 run.slices=4 run.slice=2"
    assert RunName("photos-1").overrides == "run.id=photos-1"


def test_a_wrong_moment_is_named() -> None:
    with pytest.raises(JobError, match=r"--tick=tonight: not a time"):
        name_of_tick("photos", "tonight")


@pytest.mark.parametrize("base", ["a" * 35, "Photos", "2photos", "photos_of_cats"])
def test_a_name_that_kuberay_would_refuse_is_refused(base: str) -> None:
    with pytest.raises(JobError, match="not a valid name for a RayJob"):
        name_of_tick(base, "2026-11-22T02:00Z").attempt(1)


def test_a_name_of_47_characters_is_the_longest() -> None:
    run = name_of_tick("a" * 34, "2026-11-22T02:00Z")
    assert len(run.attempt(1)) == 47
    with pytest.raises(JobError):
        run.attempt(2)
