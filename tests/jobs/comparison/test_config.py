from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.cli.overrides import as_typed
from jobs.comparison.config import Comparison
from jobs.config import to_object
from jobs.schemas import compose_verb


def composed(*overrides: str) -> Comparison:
    return to_object(compose_verb("compare", as_typed(overrides)), Comparison)


def test_the_keys_of_the_command_line() -> None:
    wanted = composed(
        "a=20261129", "b=s3://bucket/out/runs/r=1", "output.path=out", "compare.max_flip_ratio=0.01",
        "+output.storage_options.region=eu",
    )  # fmt: skip
    assert (wanted.a, wanted.b) == ("20261129", "s3://bucket/out/runs/r=1")
    assert wanted.compare.max_flip_ratio == 0.01
    assert wanted.compare.max_new_errors is None
    assert wanted.output.storage_options == {"region": "eu"}
    with pytest.raises(JobError, match="max_flips"):
        composed("a=1", "b=2", "+compare.max_flips=1")
