from __future__ import annotations

import pytest

from actors.errors import JobError
from jobs.config import compose_config, to_evaluation
from jobs.evaluating.config import EvaluationJob
from jobs.job import Job, Mode
from jobs.schemas import compose_verb


def test_a_limit_is_a_new_key_without_a_plus_sign() -> None:
    wanted = to_evaluation(
        compose_verb("evaluate", ["+dataset=sample", "model=digits", "evaluate.fail_under.top1=0.75"])
    )
    assert wanted.evaluate.fail_under == {"top1": 0.75}
    assert type(wanted.job) is Job
    assert wanted.job.run.mode is Mode.full
    assert wanted.job.dataset.kind == "sample" or wanted.job.dataset.label_column


def test_a_published_run_needs_no_job() -> None:
    wanted = to_evaluation(compose_verb("evaluate", ["evaluate.run=r1", "output.path=out"]))
    assert (wanted.job, wanted.output.path, wanted.evaluate.run) == (None, "out", "r1")
    with pytest.raises(JobError, match=r"evaluate.run=r1: output.path: not given"):
        to_evaluation(compose_verb("evaluate", ["evaluate.run=r1"]))
    with pytest.raises(JobError, match=r"evaluate.runs"):
        to_evaluation(compose_verb("evaluate", ["+evaluate.runs=r1", "evaluate.run=r1", "output.path=out"]))


def test_a_cluster_gets_the_whole_job() -> None:
    assert isinstance(compose_config("evaluate", ["+dataset=sample", "model=digits"]).wanted, EvaluationJob)
