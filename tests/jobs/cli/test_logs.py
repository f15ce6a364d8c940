from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.errors import JobError
from jobs.cli.logs import (
    LOG,
    format_of,
    is_for_machines,
    lines_shown,
    log_closing,
    name_run,
    say,
    set_up_logging,
)
from jobs.job import LogFormat


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restores logging, warnings and the thread exception hook, which belong to the whole process."""
    for log in (LOG, logging.getLogger()):
        monkeypatch.setattr(log, "handlers", log.handlers)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = LOG.level
    yield
    logging.captureWarnings(capture=False)
    LOG.setLevel(before)


def lines(printed: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogFormat.text, verbose=False)
    LOG.info("%s images", 7, extra={"shard": 3})
    LOG.debug("not shown")
    say(logging.ERROR, "model.labels=x: no such file\n  fix: name another")
    say(logging.INFO, "the same command resumes")
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO 7 images")
    assert rest == ["error: model.labels=x: no such file", "  fix: name another", "the same command resumes"]
    assert not is_for_machines()


def test_a_name_forges_no_line_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogFormat.text, verbose=False)
    name = "x\x1b[2K.jpg\n12:00:00 INFO proven"
    LOG.warning("%s: passed over", name)
    LOG.warning("all of it", exc_info=OSError(name))
    say(logging.ERROR, str(JobError(f"dataset.path={name}: no such file", fix=f"not {name}")))
    printed = capsys.readouterr().err
    assert "\x1b" not in printed
    assert [line for line in printed.splitlines() if line.startswith("12:00:00 INFO proven")] == []
    assert r"dataset.path=x\x1b[2K.jpg\n12:00:00 INFO proven: no such file" in printed


def test_json_is_an_object_a_line_with_run_shard_and_worker(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogFormat.json, verbose=True)
    assert is_for_machines()
    LOG.debug("before the run is known")
    name_run("nightly-7")
    LOG.warning("shard %s:\n died", 3, extra={"shard": 3, "worker": "host:17", "_made_by": "Ray"})
    say(logging.ERROR, "model.labels=x: no such file\n  fix: name another")
    unknown, died, error = lines(capsys.readouterr().err)
    assert (unknown["level"], "run" in unknown) == ("debug", False)
    assert died.pop("time").endswith("+00:00")  # type: ignore[attr-defined]
    assert died == {
        "level": "warning", "message": "shard 3:\n died", "run": "nightly-7", "shard": 3, "worker": "host:17",
    }  # fmt: skip
    assert set(error) == {"time", "level", "message", "run"}
    assert error["message"] == "model.labels=x: no such file\n  fix: name another"


def test_the_closing_line_is_for_machines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogFormat.json, verbose=False)
    log_closing({"status": "done", "num_ok": 3})
    (closing,) = lines(capsys.readouterr().err)
    assert (closing["status"], closing["num_ok"]) == ("done", 3)
    set_up_logging(LogFormat.text, verbose=False)
    log_closing({"status": "done"})
    assert capsys.readouterr().err == ""


def test_an_exception_is_one_line_whoever_raised_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogFormat.json, verbose=False)
    try:
        Path("/no\u2028 \udcff").read_bytes()
    except OSError as error:
        say(logging.ERROR, str(error), exc_info=True)
    thread = threading.Thread(target=lambda: {}["nothing"], name="reader")
    thread.start()
    thread.join()
    caught, ended = lines(capsys.readouterr().err)
    assert caught["exception"].startswith("Traceback")  # type: ignore[attr-defined]
    assert ended["message"] == "thread reader ended"
    assert "KeyError: 'nothing'" in ended["exception"]  # type: ignore[operator]


def test_warnings_and_other_loggers_are_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(LogFormat.json, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    logging.getLogger("urllib3").warning("slow")
    assert [line["logger"] for line in lines(capsys.readouterr().err)] == ["py.warnings", "urllib3"]


def test_a_command_whose_config_is_wrong_still_gets_its_format() -> None:
    assert format_of(["+dataset=sample", "log.format=json"]) is LogFormat.json
    assert format_of(["+dataset=sample", "log.format=xml"]) is LogFormat.text


def application(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """Returns the root of an application that has not touched our logger; no fixture, as pytest adds handlers later."""
    root = logging.getLogger("tests.application")
    monkeypatch.setattr(root, "propagate", False)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    monkeypatch.setattr(LOG, "handlers", [])
    monkeypatch.setattr(LOG, "parent", root)
    monkeypatch.setattr(LOG, "propagate", True)
    monkeypatch.setattr(LOG, "level", logging.NOTSET)
    return root


def test_without_handlers_python_callers_get_lines_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = application(monkeypatch)
    for _ in range(2):
        with lines_shown(LogFormat.text, verbose=False):
            LOG.info("%s images", 7)
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert (LOG.handlers, LOG.level, root.handlers) == ([], logging.NOTSET, [])


def test_an_application_that_logs_keeps_its_handlers_and_the_level_that_it_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = application(monkeypatch)
    taken: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: taken.append(record.getMessage())  # type: ignore[method-assign]
    root.addHandler(handler)
    with lines_shown(LogFormat.text, verbose=False):
        LOG.info("shown")
    LOG.setLevel(logging.WARNING)
    with lines_shown(LogFormat.text, verbose=False):
        LOG.info("not wanted")
    assert taken == ["shown"]
    assert (root.handlers, LOG.handlers) == ([handler], [])
    assert capsys.readouterr().err == ""
