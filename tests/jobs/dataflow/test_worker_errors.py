from __future__ import annotations

import pytest

from actors.errors import CredentialsError, DecoderMismatchError, JobError
from jobs.dataflow.worker_errors import cause_in

ACTOR_DIED = """The actor died because of an error raised in its creation task, ray::MapWorker.__init__()
  File "models.py", line 134, in reading
    raise JobError(f"{where}: no such file", cure="correct the path") from None
actors.errors.JobError: model.checkpoint=/w.pt: no such file
  cure: correct the path
"""


def test_what_an_actor_raised_is_found_in_the_text() -> None:
    error = cause_in(ACTOR_DIED)
    assert isinstance(error, JobError)
    assert (error.problem, error.cure) == ("model.checkpoint=/w.pt: no such file", "correct the path")
    assert (
        str(cause_in("x\n  File y\ntorch.OutOfMemoryError: CUDA out of memory\n"))
        == "OutOfMemoryError: CUDA out of memory"
    )
    assert str(cause_in("the node went away")) == "the node went away"


@pytest.mark.parametrize("kind", [CredentialsError, DecoderMismatchError])
def test_what_the_driver_acts_upon_stays_what_it_is(kind: type[Exception]) -> None:
    error = cause_in(f"ray::MapWorker()\nactors.errors.{kind.__name__}: s3://b: seen; do this\nmore")
    assert isinstance(error, kind)
    assert str(error) == "s3://b: seen; do this"


PREDICTOR_RAISED = """ray::MapWorker(MapBatches(PredictActor)).submit() (pid=7, ip=127.0.0.1)
  File "work.py", line 87, in attempt
    raise WorkerKilledError(instructions.failure)
actors.tracking.attempts.WorkerKilledError: the model killed its worker at 3 images in a row

The above exception was the direct cause of the following exception:

ray::MapWorker(MapBatches(PredictActor)).submit() (pid=7, ip=127.0.0.1)
ray.exceptions.UserCodeException: UDF failed to process a data block.
To change retry attempts: do this.
"""


def test_what_a_predictor_raised_is_found_before_what_ray_data_says_of_it() -> None:
    assert str(cause_in(PREDICTOR_RAISED)) == "WorkerKilledError: the model killed its worker at 3 images in a row"
