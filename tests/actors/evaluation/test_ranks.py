"""Two real processes over gloo count the same as one process, and each image once."""

from __future__ import annotations

import pytest
from training import scores_of, scores_on_ranks, trained

pytestmark = pytest.mark.slow

NUMS_IMAGES = (599, 1, 34)  # an odd number; a rank without an image; an iterable without a length


def test_two_ranks_give_the_scores_of_one() -> None:
    alone = [scores_of(trained(), number) for number in NUMS_IMAGES]
    by_rank = scores_on_ranks(2, NUMS_IMAGES)
    assert by_rank == [alone, alone]
    assert [scores["num_names"] for scores in alone] == [scores["num_rows"] for scores in alone] == list(NUMS_IMAGES)
    assert alone[0]["accuracy"] == 592 / 599
