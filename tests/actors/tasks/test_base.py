from __future__ import annotations

import numpy as np
import pytest

from actors.errors import JobError
from actors.tasks.base import Outputs, pick_output

OUTPUTS = Outputs.of({"logits": np.zeros((1, 10)), "features": np.zeros((1, 64)), "map": np.zeros((1, 8, 7, 7))})


def test_the_only_fitting_output_is_taken() -> None:
    assert pick_output(OUTPUTS, None, rank=3, task="raw") == "map"


def test_the_named_output_is_taken() -> None:
    assert pick_output(OUTPUTS, "features", rank=1, task="embed") == "features"


@pytest.mark.parametrize(("wanted", "rank"), [(None, 1), ("map", 1), ("nope", 1), (None, 2)])
def test_a_doubtful_output_is_an_error_that_shows_the_choice(wanted: str | None, rank: int) -> None:
    with pytest.raises(JobError, match=r"logits \(n, 10\), features \(n, 64\), map \(n, 8, 7, 7\)"):
        pick_output(OUTPUTS, wanted, rank=rank, task="embed")
