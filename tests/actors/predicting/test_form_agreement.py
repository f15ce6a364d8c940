from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from actors.engines.tolerance import EXACT
from actors.errors import JobError
from actors.exporting.postprocess import Postprocess
from actors.predicting.form_agreement import agreement, steps_for, task_of
from actors.tasks.base import Outputs, Task
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.tile import Tile, TileMerge
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from actors.tasks.scores import Activation

LOGITS = {"output": np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)}
OUTPUTS = Outputs.of(LOGITS)


def test_the_tiles_of_a_task_are_made_again_from_their_fields() -> None:
    task = Detect(tile=Tile([64, 32], merge=TileMerge.nms))
    assert task_of(asdict(task)) == task


@pytest.mark.parametrize("task", [Classify(top_k=2), Embed(), Raw()])
def test_a_task_is_made_again_from_its_fields(task: Task) -> None:
    assert task_of(asdict(task)) == task
    assert agreement(task, "none", LOGITS, LOGITS, EXACT).breaches == []


def test_an_unknown_task() -> None:
    with pytest.raises(JobError, match="task=dream"):
        task_of({"name": "dream"})


@pytest.mark.parametrize("kind", ["softmax", "topk"])
def test_scores_are_compared_as_scores(kind: str) -> None:
    steps = steps_for(kind, Classify(top_k=2), OUTPUTS, None)
    assert (steps.output, steps.top_k) == ("output", 2)
    wanted = steps.of(LOGITS)
    assert agreement(Classify(), kind, wanted, wanted, EXACT).breaches == []
    wrong = steps.of({"output": LOGITS["output"][::-1]})
    assert agreement(Classify(), kind, wanted, wrong, EXACT).breaches


def test_the_activation_and_the_number_of_classes_count() -> None:
    steps = steps_for("topk", Classify(top_k=50, activation=Activation.sigmoid), OUTPUTS, None)
    assert steps == Postprocess("topk", "output", 6, sigmoid=True)
    assert steps_for("none", Embed(), OUTPUTS, None) == Postprocess()


@pytest.mark.parametrize("task", [Embed(), Raw(), Classify(activation=Activation.none)])
def test_steps_need_logits(task: Task) -> None:
    with pytest.raises(JobError, match=r"export\.postprocess=softmax: needs logits"):
        steps_for("softmax", task, OUTPUTS, None)
