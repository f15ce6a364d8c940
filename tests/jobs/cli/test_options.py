from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.cli.options import expand_options


def test_ours_become_what_hydra_reads_and_hydras_stay() -> None:
    assert expand_options(["+dataset=sample", "--dry-run"]) == ["+dataset=sample", "run.plan_only=true"]
    assert expand_options(["--help=all"]) == ["--help", "hydra/help=whole"]
    kept = ["-m", "--config-dir=own", "--config-dir", "own", "--cfg", "job", "-sc", "query=bash", "a.b=--x"]
    assert expand_options(kept) == kept


@pytest.mark.parametrize(
    ("option", "fix"),
    [
        ("--config-dirr=own", "did you mean --config-dir?"),
        ("--dryrun", "did you mean --dry-run?"),
        ("--dataset", "written without dashes"),
    ],
)
def test_others_are_refused(option: str, fix: str) -> None:
    with pytest.raises(JobError, match="there is no such option") as caught:
        expand_options([option])
    assert fix in str(caught.value)
