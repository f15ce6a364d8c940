from __future__ import annotations

import pytest
from scored import Scored

from actors.evaluation.accuracy import Accuracy
from actors.evaluation.calibration import Calibration
from actors.evaluation.confusion import ClassAverages
from actors.evaluation.inferencer import CountingInferencer, Inferencer, ratio


@pytest.mark.parametrize("measure_class", [Accuracy, Calibration, ClassAverages])
def test_states_of_processes_add_up_to_that_of_one(measure_class: type[CountingInferencer]) -> None:
    scored = Scored.random(100, 3)
    whole: Inferencer = measure_class()
    whole.update(scored.rows)
    ranks = [measure_class() for _ in range(3)]
    for place, rows in enumerate(scored.batches()):
        ranks[place % 2].update(rows)  # the third has no image
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
