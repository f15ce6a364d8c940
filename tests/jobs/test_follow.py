from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["+dataset=sample"], 2, "checkpoints.path: not given"),
        (["+dataset=sample", "checkpoints.path=ck", "checkpoints.score=accurracy"], 2, "did you mean accuracy?"),
        (["+dataset=sample", "checkpoints.path=ck", "task=embed"], 2, "task=embed: cannot be evaluated"),
        (["+dataset=sample", "checkpoints.path=ck", "dataset.path=nowhere"], 2, "/nowhere: no such file or folder"),
        (["+dataset=sample", "checkpoints.path=ck", "checkpoints.patient=1"], 2, "did you mean checkpoints.patience?"),
        (["checkpoints.path=.", "+dataset=sample", "checkpoints.end_marker=/"], 2, "has ended without a checkpoint"),
        (["--help"], 0, "python -m jobs.follow checkpoints.path=DIR +dataset=NAME"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.follow", *overrides]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
