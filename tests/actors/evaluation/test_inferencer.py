from __future__ import annotations

from collections.abc import Callable

import pytest
from scored import Scored

from actors.evaluation.accuracy import Accuracy
from actors.evaluation.calibration import Calibration
from actors.evaluation.confusion import ClassAverages
from actors.evaluation.inferencer import CountingInferencer, Inferencer, ratio

LABELS = Scored.random(1, 3).labels


@pytest.mark.parametrize("make", [Accuracy, Calibration, lambda: ClassAverages(LABELS)])
def test_states_of_processes_add_up_to_that_of_one(make: Callable[[], CountingInferencer]) -> None:
    scored = Scored.random(100, 3)
    whole: Inferencer = make()
    whole.update(scored.rows)
    ranks = [make() for _ in range(3)]
    for place, rows in enumerate(scored.batches()):
        ranks[place % 2].update(rows)  # the third rank has no image
    total: dict[str, int] = {}
    for rank in ranks:
        for name, number in rank.counts().items():
            total[name] = total.get(name, 0) + number
    assert {name: number for name, number in total.items() if number} == {
        name: number for name, number in whole.counts().items() if number
    }
    assert ranks[0].compute(total) == whole.compute(whole.counts())


def test_a_ratio_of_nothing_is_0() -> None:
    assert (ratio(0, 0), ratio(1, 4)) == (0.0, 0.25)
