from __future__ import annotations

import pytest
from ray.exceptions import RayActorError, RayTaskError

from actors.errors import CredentialsError, DecoderMismatchError, JobError, OutputError, UnreachableError
from actors.tracking.attempts import WorkerKilledError
from jobs.dataflow.worker_errors import WorkerError, workers_errors

RETRIES = "\nFailed to apply UDF transform after 1/1 attempts (total backoff 0.0s).\nTo change retry attempts, do this."


def raised_by(cause: Exception) -> RayTaskError:
    return RayTaskError("read", "Traceback (most recent call last):", cause, proctitle="w", pid=7, ip="127.0.0.1")


@pytest.mark.parametrize("kind", [CredentialsError, DecoderMismatchError, OutputError, UnreachableError])
def test_what_the_driver_acts_upon_stays_what_it_is(kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, workers_errors():
        raise raised_by(kind(f"s3://b: seen; do this{RETRIES}"))
    assert type(caught.value) is kind
    assert str(caught.value) == "s3://b: seen; do this"


def test_a_wrong_job_keeps_its_fix() -> None:
    with pytest.raises(JobError) as caught, workers_errors():
        raise raised_by(JobError("model.checkpoint=/w.pt: no such file", fix="correct the path"))
    assert (caught.value.problem, caught.value.fix) == ("model.checkpoint=/w.pt: no such file", "correct the path")


def test_any_other_error_keeps_its_name_and_message() -> None:
    with pytest.raises(WorkerError) as caught, workers_errors():
        raise raised_by(WorkerKilledError(f"the model killed its worker at 3 images in a row{RETRIES}"))
    assert str(caught.value) == "WorkerKilledError: the model killed its worker at 3 images in a row"
    with pytest.raises(WorkerError, match="the node went away"), workers_errors():
        raise RayActorError(error_msg="the node went away")
