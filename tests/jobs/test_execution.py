from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from blocks import predicted_block
from finished import add_photos, job_over, opened

from actors.errors import JobError
from actors.ledger import View
from actors.sink import SinkPlan, write_part
from actors.summaries import Summary
from jobs.batch_infer import batch_infer
from jobs.command import ExitStatus
from jobs.commit import Outcome, collect
from jobs.config import ErrorBudget, Job, to_job
from jobs.config import Run as RunConfig
from jobs.execution import SilenceError, Watch, cause_in, execute
from jobs.runs import Run

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


PREDICTOR_RAISED = """ray::MapWorker(MapBatches(PredictActor)).submit() (pid=7, ip=127.0.0.1)
  File "work.py", line 87, in in_hand
    raise WorkerKilledError(orders.failure)
actors.work.WorkerKilledError: the model killed its worker at 3 images in turn

The above exception was the direct cause of the following exception:

ray::MapWorker(MapBatches(PredictActor)).submit() (pid=7, ip=127.0.0.1)
ray.exceptions.UserCodeException: UDF failed to process a data block.
To change retry attempts: do this.
"""


def test_what_a_predictor_raised_is_found_before_what_ray_data_says_of_it() -> None:
    assert str(cause_in(PREDICTOR_RAISED)) == "WorkerKilledError: the model killed its worker at 3 images in turn"


class Looked:
    """Arms nothing: notes what it was asked to do."""

    def __init__(self) -> None:
        self.is_asked = False
        self.armed: list[float] = []

    def ask(self) -> None:
        self.is_asked = True

    def interrupt(self, error: BaseException, after_s: float) -> None:
        assert isinstance(error, SilenceError)
        assert "no worker gave a sign of life for" in str(error)
        self.armed.append(after_s)
        self.may_help = error.is_shrunk


def view(num_ok: int, num_errors: int, num_signs: int) -> View:
    return View(num_ok, num_errors, [], [], num_signs)


def watch_over(stop: Looked, *, is_shrunk: bool = False, stall_s: float = 20, **budget: float) -> Watch:
    before = Summary(num_ok=90, num_errors=10)
    job = Job(run=RunConfig(stall_s=stall_s), errors=ErrorBudget(**budget))
    return Watch(job, before, stop, lambda: is_shrunk)


def test_what_was_done_before_counts_for_the_budget() -> None:
    stop = Looked()
    watch = watch_over(stop, max_ratio=0.1)
    assert not watch(view(10, 1, 1))
    assert watch(view(10, 3, 2))
    assert stop.is_asked
    assert watch_over(Looked(), max_ratio=1, max_count=10)(view(0, 1, 1))
    assert not watch_over(Looked(), max_ratio=1, max_count=10)(view(5, 0, 1))


def test_each_sign_of_life_puts_the_end_off() -> None:
    stop = Looked()
    watch = watch_over(stop, max_ratio=1)
    for num_signs in (0, 0, 1, 1, 1, 5):
        watch(view(0, 0, num_signs))
    assert stop.armed == [60, 60, 60]


def test_on_a_cluster_that_has_shrunk_silence_is_soon_too_long() -> None:
    stop = Looked()
    watch = watch_over(stop, is_shrunk=True, max_ratio=1)
    for num_signs in (1, 1, 1, 2):
        watch(view(0, 0, num_signs))
    assert stop.armed == [60, pytest.approx(30, abs=1), 60]
    assert not stop.may_help, "it moved meanwhile"
    patient = Looked()
    watch = watch_over(patient, is_shrunk=True, stall_s=5, max_ratio=1)
    for num_signs in (1, 1):
        watch(view(0, 0, num_signs))
    assert patient.armed == [15, pytest.approx(15, abs=1)]  # what the job says is less anyway
    assert patient.may_help


@pytest.mark.parametrize(("is_shrunk", "num_done"), [(True, 0), (False, 5)])
def test_a_session_that_fell_silent_begins_anew_where_that_may_help(
    is_shrunk: bool,  # noqa: FBT001  a parameter of the test
    num_done: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    sessions = silent_sessions(monkeypatch, is_shrunk=is_shrunk, num_silent=1, num_done=num_done)
    run = opened_over(tmp_path)
    assert execute(run, nothing_done(run), *UNUSED) == "done"
    assert sessions == [12, 12 - num_done]


def test_where_it_cannot_help_the_job_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sessions = silent_sessions(monkeypatch, is_shrunk=False, num_silent=3, num_done=0)
    run = opened_over(tmp_path)
    with pytest.raises(SilenceError):
        execute(run, nothing_done(run), *UNUSED)
    assert sessions == [12]


UNUSED = (None, None, None)


def opened_over(folder: Path) -> Run:
    add_photos(folder / "images", range(12))
    return opened(job_over(folder / "images", folder / "out"))


def nothing_done(run: Run) -> Outcome:
    return collect(run.paths, run.storage, run.shards.sizes)


def silent_sessions(monkeypatch: pytest.MonkeyPatch, *, is_shrunk: bool, num_silent: int, num_done: int) -> list[int]:
    """Sessions of which the first do some images and fall silent; gives what each of them found missing."""
    missing: list[int] = []

    def session(run: Run, outcome: Outcome, *_: object) -> str:
        missing.append(outcome.coverage.num_missing)
        if len(missing) > num_silent:
            return "done"
        for shard in range(-(-num_done // 2)):
            block = predicted_block(shard, range(min(2, num_done - 2 * shard)))
            write_part(SinkPlan(run.paths, run.storage, {}, 100), pa.table(block), number=shard)
        raise SilenceError(30, is_shrunk=is_shrunk)

    monkeypatch.setattr("jobs.execution._session", session)
    return missing


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.cluster
@pytest.mark.usefixtures("signals_as_before")
def test_from_python_on_a_cluster_that_is_connected_already(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray  # noqa: PLC0415  the guard of the unit tests
    from hydra import compose, initialize_config_module  # noqa: PLC0415

    assert cluster
    with initialize_config_module("conf", version_base="1.3"):
        job = to_job(compose("batch_infer", ["+dataset=sample", "dataset.limit=50", f"output.path={tmp_path}"]))
    assert batch_infer(job) is ExitStatus.DONE
    assert ray.is_initialized()
    printed = capsys.readouterr().out
    assert "50 listed = 50 ok + 0 errors" in printed
    assert printed.splitlines()[-1].startswith(f"{tmp_path}/runs/")
