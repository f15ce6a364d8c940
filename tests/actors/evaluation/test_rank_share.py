from __future__ import annotations

import pytest
from training import Rows

from actors.errors import JobError
from actors.evaluation.accuracy import Accuracy
from actors.evaluation.rank_share import RankShare, scores_of
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED


def counted(num_labelled: int, num_correct: int) -> RankShare:
    return RankShare([{NUM_LABELLED: num_labelled, NUM_CORRECT: num_correct}], num_images=num_labelled)


def test_counts_add_up_exactly() -> None:
    big = 2**60
    assert scores_of([counted(big, big), counted(3, 1), RankShare([{}])], [Accuracy()])["accuracy"] == (big + 1) / (
        big + 3
    )


def test_the_failure_of_a_rank_is_that_of_all() -> None:
    with pytest.raises(JobError, match="cannot be evaluated: KeyError: 'x'"):
        scores_of([counted(3, 1), RankShare(failure="KeyError: 'x'")], [Rows()])
