from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from finished import STORAGE, add_photos, finish, listed, opened, write_shard

from jobs.batch_infer import _complete
from jobs.cli.entry import ExitStatus
from jobs.cli.shutdown import Shutdown
from jobs.job import ErrorBudget, Job
from jobs.leases.slices import OutputLock, Slice
from jobs.reporting.clock import Clock
from jobs.runs.opening import Run


def complete(run: Run) -> ExitStatus:
    """Completes a run in which every image has an outcome; `tests/end_to_end` runs the whole command."""
    tenancy = OutputLock(
        run.paths.root, STORAGE, Slice(), run.record.run_id, run.job.run.lease_s, on_lost=lambda _: None
    )
    with tenancy.hold() as lease:
        return _complete(run, tenancy, lease, Shutdown(1.0), Clock())


def night(job: Job, images: Path, number: int) -> Run:
    """Returns a run of one new image, which is bad."""
    add_photos(images, [number])
    run = opened(job)
    assert listed(run) == [str(number)]
    write_shard(run, 0, bad=[f"{number}.jpg"])
    return run


def test_a_bad_image_beside_earlier_runs_is_published_and_holds_up_no_later_night(
    job: Job, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finish(opened(job))
    run = night(job, images, 7)
    assert complete(run) is ExitStatus.OVER_BUDGET
    assert Path(run.paths.success).exists()
    assert "all 1 images failed; published as error rows next to those of earlier runs" in caplog.text
    assert "run.redrive=true" in caplog.text
    assert complete(night(job, images, 8)) is ExitStatus.OVER_BUDGET
    assert listed(opened(job, redrive=True)) == ["7", "8"]


def test_a_night_that_an_earlier_version_left_unpublished_is_published_by_the_next_command(
    job: Job, images: Path
) -> None:
    finish(opened(job))
    night(job, images, 7)
    add_photos(images, [8])
    again = opened(job)
    assert listed(again) == ["7"]
    assert complete(again) is ExitStatus.OVER_BUDGET
    assert listed(opened(job)) == ["8"]


@pytest.mark.parametrize("has_earlier", [False, True])
def test_over_the_budget_or_without_earlier_runs_nothing_is_published(
    *, has_earlier: bool, job: Job, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if has_earlier:
        finish(opened(job))
        run = night(replace(job, errors=ErrorBudget(max_count=0)), images, 7)
    else:
        run = opened(job)
        for shard in range(3):
            write_shard(run, shard, bad=[".jpg"])
    assert complete(run) is ExitStatus.OVER_BUDGET
    assert not Path(run.paths.success).exists()
    assert "nothing was published" in caplog.text
