from __future__ import annotations

from pathlib import Path

import commanded
import pytest
from scored import Scored
from scored_runs import publish_rows

from actors.tasks.classify import Classify


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["output.path=out", "evaluate.run=r", "evaluate.fail_under.top1=0.1"], 0, "/out/runs/r/metrics.json"),
        (["output.path=out", "evaluate.run=r", "evaluate.fail_under.top1=0.99"], 3, "evaluate.fail_under.top1=0.99: "),
        (["output.path=out", "evaluate.run=r", "evaluate.fail_under.top=0.9"], 2, "the scores are accuracy, top1"),
        (["+dataset=sample", "dataset.label_column=null"], 2, "jobs.evaluate: the dataset has no labels"),
        (["+dataset=sample", "task=embed"], 2, "task=embed: cannot be evaluated"),
        (
            ["+dataset=sample", "task=detect", "evaluate.annotations=x.json"],
            2,
            "evaluate.annotations=x.json: cannot be",
        ),
        (["+dataset=sample", "run.slices=2"], 2, "run.slices=2: the scores would be those of a part"),
        (["--help"], 0, "python -m jobs.evaluate output.path=PATH evaluate.run=RUN_ID"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    scored = Scored.random(50, 3)
    publish_rows(tmp_path / "out", Classify(), [scored.rows], labels=scored.labels)
    done = commanded.run("evaluate", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
