from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator

import pytest

from jobs.cli import phases
from jobs.cli.phases import phase, show_detail

LOG = logging.getLogger("shardlens")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Lines logged during the test, by a fast ticker."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    monkeypatch.setattr(LOG, "handlers", [handler])
    monkeypatch.setattr(phases, "SILENT_S", 0.05)
    monkeypatch.setattr(phases, "_LOOK_S", 0.01)
    before = LOG.level
    LOG.setLevel(logging.INFO)
    yield found
    LOG.setLevel(before)


def await_line(lines: list[str], start: str) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in lines:
            if line.startswith(start):
                return line
        time.sleep(0.01)
    raise AssertionError(lines)


def test_the_innermost_phase_is_named_until_it_ends(lines: list[str]) -> None:
    with phase("outer"):
        with phase("inner"):
            assert re.fullmatch(r"inner: \d+ s(, \d+ s since the start)?", await_line(lines, "inner"))
            show_detail("7 images so far")
            lines.clear()
            assert re.match(r"inner: \d+ s, 7 images so far", await_line(lines, "inner"))
        lines.clear()
        await_line(lines, "outer")
        assert not any(line.startswith("inner") for line in lines)
        with phase(""):
            lines.clear()
            time.sleep(0.3)
            assert lines == [], "progress lines of its own follow"
    num_lines = len(lines)
    time.sleep(0.2)
    assert len(lines) == num_lines, "no thread stays behind"


def test_nothing_is_added_to_other_lines(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "SILENT_S", 5.0)
    with phase("busy"):
        for _ in range(20):
            LOG.info("a line")
            time.sleep(0.01)
    assert set(lines) == {"a line"}
    assert LOG.filters == []


def test_an_error_ends_the_phase_and_other_threads_have_none_beside_it(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), phase("failing"):
        raise ValueError("wrong")

    def beside() -> None:
        with phase("beside"):
            time.sleep(0.3)

    def run_in_thread() -> None:
        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()

    with phase(""):
        run_in_thread()
    assert lines == []
    run_in_thread()
    assert await_line(lines, "beside"), "of a job in a thread of its own"
