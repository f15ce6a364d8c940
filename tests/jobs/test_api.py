"""`run` as called by scripts and threads, on the Ray of the test process; tests/docs runs it in a notebook, which
starts its own Ray.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from answering import Reply, answering
from digit_images import DIGITS, encoded, write_digits

from actors.errors import JobError
from actors.models.spec import Model
from actors.tasks.embed import Embed
from jobs.api import Groups, run
from jobs.job import Job, Log, Output, RunConfig
from jobs.run_result import RunResult

LOG = logging.getLogger("shardlens")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_digits(tmp_path / "images", 7)
    (tmp_path / "images" / "bad.png").write_bytes(b"no picture")
    return tmp_path / "images"


def process_state() -> list[object]:
    """Returns the parts of the process that a job uses but the application owns."""
    handlers = [signal.getsignal(number) for number in SIGNALS]
    variables = {name: value for name, value in os.environ.items() if name.startswith(("RAY_", "PYTHONPATH"))}
    levels = [logging.getLogger(name).level for name in ("shardlens", "ray", "ray.data", "root")]
    context = sys.modules["ray.data"].DataContext.get_current()
    return [handlers, variables, levels, list(LOG.handlers), list(logging.getLogger().handlers), context]


def test_every_key_of_a_job_is_a_keyword() -> None:
    named = {"dataset", "model", "task", "output"}
    assert {*Groups.__annotations__} == {key.name for key in fields(Job)} - named
    with pytest.raises(TypeError, match="no keyword modle: a job has dataset, model"):
        run("x", modle="y")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"dataset": "sample", "model": {"sauce": "x"}},
            r"model\.sauce: there is no such key.*did you mean model\.source",
        ),
        ({"dataset": "sample", "run": RunConfig(mode="fast")}, r"run\.mode: .*fast"),
        ({"dataset": "sample", "task": RunConfig()}, "task: "),
        ({"dataset": "/nowhere", "model": DIGITS}, r"dataset\.path=/nowhere"),
        ({"dataset": "/nowhere"}, r"model\.checkpoint: not given"),
        ({"dataset": "sample", "output": {"path": "${oc.env:NOT_SET}"}, "run": {"plan_only": True}}, "makes no plan"),
    ],
)
def test_a_wrong_job_raises_the_error_of_the_command(given: dict[str, Any], message: str) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(JobError, match=f"(?s){message}"):
        run(**given)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_run_gives_rows_errors_report_and_page_and_leaves_the_process_as_it_was(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray.data  # noqa: PLC0415  must come after the environment is set

    before = process_state()
    result = run(images, model=DIGITS, output=tmp_path / "out", log=Log())
    assert (result.status, result.report["num_ok"], result.report["num_errors"]) == ("done", 7, 1)
    assert sorted(result.rows.to_pandas(["label"])["label"]) == [str(number) for number in range(7)]
    assert result.errors.to_arrow(["error"])["error"].to_pylist() == ["unidentified"]
    assert result.page == f"{result.path}/report.html"
    assert Path(result.path).parent == tmp_path / "out" / "runs"
    assert process_state() == before
    assert ray.is_initialized(), "the Ray of the caller stays up"
    assert capsys.readouterr().out == ""

    again = run(str(images), model=DIGITS, output=Output(str(tmp_path / "out")), progress=False)
    assert again.run_id == result.run_id, "no new image: nothing to do"


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_thread_and_an_event_loop_run_jobs_too(images: Path, tmp_path: Path) -> None:
    taken: list[dict[str, Any]] = []

    def reply(asked: Any) -> Reply:
        taken.append(json.loads(asked.body))
        return Reply({})

    def job(name: str, **keys: Any) -> RunResult:
        return run(images, model=replace(DIGITS), output=tmp_path / name, report={"html": False}, **keys)

    async def cell(url: str) -> RunResult:
        return job("loop", task=Embed(), notify={"url": url})

    with ThreadPoolExecutor(1) as pool, answering(reply) as (address, _):
        thread = pool.submit(job, "thread")
        found = [asyncio.run(cell(address)), thread.result()]  # at the same time: one waits for the other
    assert [(result.status, result.report["num_ok"], result.page) for result in found] == [("done", 7, None)] * 2
    assert "embedding" in found[0].rows.schema.names
    assert [(sent["status"], sent["run_id"]) for sent in taken] == [("done", found[0].run_id)]
    with ThreadPoolExecutor(1) as pool, pytest.raises(JobError, match=r"model\.checkpoint"):
        pool.submit(run, images, model=Model("a:b", checkpoint="/nowhere.pt")).result()


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_an_interrupt_stops_gently_and_the_same_call_resumes(tmp_path: Path) -> None:
    write_digits(tmp_path / "images", len(encoded()))
    begun = threading.Event()

    def interrupt(record: logging.LogRecord) -> bool:
        if "images/s" in record.getMessage() or "loading workers" in record.getMessage():
            begun.set()
        return True

    def send() -> None:
        begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    keys: dict[str, Any] = {"model": DIGITS, "output": tmp_path / "out", "run": {"progress_s": 0.5}}
    LOG.addFilter(interrupt)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "images", **keys)
    finally:
        LOG.removeFilter(interrupt)
        begun.set()
        thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    (stopped,) = (tmp_path / "out" / "runs").iterdir()
    assert json.loads((stopped / "report.json").read_text())["status"] == "stopped"
    result = run(tmp_path / "images", **keys)
    assert (result.run_id, result.status, result.report["num_ok"]) == (stopped.name, "done", len(encoded()))
