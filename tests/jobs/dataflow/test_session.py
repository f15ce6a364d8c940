from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from blocks import predicted_block
from finished import add_photos, job_over, opened

from actors.decoding.config import DecodeDevice
from actors.errors import DecoderMismatchError
from actors.tracking.progress_counts import Pace
from actors.writing.part_writer import SinkPlan, write_part
from jobs.batch_infer import batch_infer
from jobs.cli.entry import ExitStatus
from jobs.cluster.resources import Resources
from jobs.config import to_job
from jobs.dataflow.session import SilenceError, _run_passes, execute
from jobs.reporting.clock import Clock
from jobs.reporting.execution import Execution
from jobs.runs.commit import IncompleteRunError, Outcome, collect
from jobs.runs.opening import Run


@pytest.mark.parametrize(("is_shrunk", "num_done"), [(True, 0), (False, 5)])
def test_a_session_that_fell_silent_begins_anew_where_that_may_help(
    is_shrunk: bool,  # noqa: FBT001  a parameter of the test
    num_done: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    sessions = silent_sessions(monkeypatch, is_shrunk=is_shrunk, num_silent=1, num_done=num_done)
    run = opened_over(tmp_path)
    clock = Clock()
    assert execute(run, nothing_done(run), *UNUSED, clock) == "done"
    assert sessions == [12, 12 - num_done]
    assert set(clock.seconds) == {"run"}  # the silent session does not count as the start


def test_where_it_cannot_help_the_job_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sessions = silent_sessions(monkeypatch, is_shrunk=False, num_silent=3, num_done=0)
    run = opened_over(tmp_path)
    with pytest.raises(SilenceError):
        execute(run, nothing_done(run), *UNUSED, Clock())
    assert sessions == [12]


def test_a_gpu_that_decodes_wrongly_gives_way_to_the_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: list[tuple[DecodeDevice, int]] = []

    def session(run: Run, outcome: Outcome, *_: object) -> str:
        found.append((run.job.decode.device, outcome.coverage.num_missing))
        if run.job.decode.device is DecodeDevice.cpu:
            return "done"
        for shard, device in enumerate(("cpu", "gpu", "gpu")):
            block = predicted_block(shard, range(2))
            write_part(SinkPlan(run.paths, run.storage, {"decode": device}, 100), block, number=shard)
        raise DecoderMismatchError("shard 3: /in/6.jpg: the GPU gives a single colour")

    monkeypatch.setattr("jobs.dataflow.session._session", session)
    run, clock = opened_over(tmp_path), Clock()
    assert execute(run, nothing_done(run), *UNUSED, clock) == "done"
    assert found == [(DecodeDevice.auto, 12), (DecodeDevice.cpu, 10)]
    assert set(clock.seconds) == {"run"}
    assert execute(run, run.collect(), *UNUSED, Clock()) == "done"  # by another driver
    assert found[2:] == [(DecodeDevice.cpu, 10)]


@pytest.mark.parametrize("is_due", [True, False])
def test_a_pass_that_ends_for_a_winner_before_its_first_image_is_not_incomplete(
    is_due: bool,  # noqa: FBT001  a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    run, engines = opened_over(tmp_path), []

    def run_pass(run: Run, _: Outcome, stages: SimpleNamespace, *__: object) -> tuple[dict[str, str], Pace]:
        engines.append(stages.engine)
        for shard in range(6 if stages.engine == "faster" else 0):
            write_part(SinkPlan(run.paths, run.storage, {}, 100), predicted_block(shard, range(2)), number=shard)
        return {"engine": stages.engine}, Pace(0, 0.0)

    monkeypatch.setattr("jobs.dataflow.session._run_pass", run_pass)
    monkeypatch.setattr("jobs.dataflow.session.Metrics", SimpleNamespace(of=lambda *_, **__: None))
    monkeypatch.setattr("jobs.dataflow.session.cluster_resources", lambda: Resources(2, 0))
    monkeypatch.setattr(
        "jobs.dataflow.session.plan_again", lambda *about, **_: SimpleNamespace(plan="plan", engine=about[3])
    )
    race = SimpleNamespace(is_due=is_due, switch=lambda: "faster", result=lambda: "the choice")
    begun = Execution("plan", "choice", {}, Pace(0, 0.0), 2)
    about = (
        run,
        nothing_done(run),
        SimpleNamespace(plan="plan", engine="first"),
        begun,
        SimpleNamespace(is_asked=False),
        race,
    )
    if not is_due:
        with pytest.raises(IncompleteRunError, match="12 images"):
            _run_passes(*about)
        return
    outcome, execution = _run_passes(*about)
    assert (outcome.coverage.num_missing, engines) == (0, ["first", "faster"])
    assert (execution.choice, execution.engine) == ("the choice", {"engine": "faster"})


UNUSED = (None, None)


def opened_over(folder: Path) -> Run:
    add_photos(folder / "images", range(12))
    return opened(job_over(folder / "images", folder / "out"))


def nothing_done(run: Run) -> Outcome:
    return collect(run.paths, run.storage, run.shards.sizes)


def silent_sessions(monkeypatch: pytest.MonkeyPatch, *, is_shrunk: bool, num_silent: int, num_done: int) -> list[int]:
    """Patches in sessions; the first ones process some images, then fall silent. Returns what each found missing."""
    missing: list[int] = []

    def session(run: Run, outcome: Outcome, *_: object) -> str:
        missing.append(outcome.coverage.num_missing)
        if len(missing) > num_silent:
            return "done"
        for shard in range(-(-num_done // 2)):
            block = predicted_block(shard, range(min(2, num_done - 2 * shard)))
            write_part(SinkPlan(run.paths, run.storage, {}, 100), pa.table(block), number=shard)
        raise SilenceError(30, is_shrunk=is_shrunk)

    monkeypatch.setattr("jobs.dataflow.session._session", session)
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

    from jobs.schemas import compose_verb  # noqa: PLC0415

    assert cluster
    job = to_job(compose_verb("batch_infer", ["+dataset=sample", "dataset.limit=50", f"output.path={tmp_path}"]))
    assert batch_infer(job) is ExitStatus.DONE
    assert ray.is_initialized()
    printed = capsys.readouterr().out
    assert "50 listed = 50 ok + 0 errors" in printed
    assert printed.splitlines()[-1].startswith(f"{tmp_path}/runs/")
