from __future__ import annotations

import io
import json
import logging
import re
import threading
from collections.abc import Iterator

import pytest

from actors.row_ranges import Piece
from actors.tracking.attempts import PREDICT, READ, Work
from actors.tracking.ledger import View
from actors.tracking.metric_counts import Flow
from jobs.cli.logs import JsonLines
from jobs.dataflow.progress import follow
from jobs.reporting.moment import Moment

BATCH = Work(PREDICT, (Piece(5, ((32, 64),)),))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Lines logged during the test."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("shardlens")
    monkeypatch.setattr(log, "handlers", [handler])
    before = log.level
    log.setLevel(logging.INFO)  # not by assignment: loggers cache what they are enabled for
    yield found
    log.setLevel(before)


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_the_driver_asks_whether_to_stop_and_then_drains(lines: list[str]) -> None:
    asked: list[tuple[int, int]] = []
    stopping, asked_again = threading.Event(), threading.Event()

    def should_stop(view: View) -> bool:
        asked.append((view.num_ok, view.num_errors))
        if view.num_errors > 1:
            (asked_again if stopping.is_set() else stopping).set()
        return view.num_errors > 1

    with follow(200, 100, stall_s=0.001, should_stop=should_stop) as ledger:
        ledger.begin(BATCH, "host:1")
        instructions = ledger.begin(BATCH, "host:2")
        assert (instructions.limit_s, instructions.careful) == (0.001, {(5, 32)})
        assert not ledger.begin(Work(READ, BATCH.what), "host:3").stop
        ledger.end(BATCH, 30, 2)
        assert stopping.wait(30)
        assert ledger.is_draining.wait(30)
        assert ledger.begin(Work(READ, (Piece(6, ((0, 1),)),)), "host:3").stop
        assert asked_again.wait(30), "the conditions hold until the pass has ended"
    assert asked.count((30, 2)) > 1
    assert "shard 5, rows 32 to 63: the worker host:1 died at predict; retrying image by image from row 32 on" in lines
    assert "shard 5, rows 32 to 63: at read on host:3 for more than 0.002 s" in lines
    assert not any("images/s" in line for line in lines[:-1])


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_lines_count_from_what_was_done_before(lines: list[str]) -> None:
    seen = threading.Event()

    def should_stop(view: View) -> bool:  # noqa: ARG001
        seen.set()
        return False

    metrics = Noting()
    with follow(200, 100, should_stop=should_stop, metrics=metrics, progress_s=0) as ledger:  # type: ignore[arg-type]
        ledger.end(BATCH, 30, 2, {("images_done",): 30})
        assert seen.wait(30)
    assert lines[-1] == "132 of 200 images, 2 errors"
    assert metrics.last == ({("images_done",): 30}, Moment(132, 2, 200, 0.0))


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_until_the_first_results_the_line_says_what_is_awaited(lines: list[str]) -> None:
    seen = threading.Event()
    with follow(200, should_stop=lambda _: seen.set() or False, progress_s=0):  # type: ignore[func-returns-value]
        assert seen.wait(30)
    assert re.fullmatch(r"loading workers: \d+ s; 0 of 200 images, 0 errors", lines[-1])


class Noting:
    """Records the values passed to Ray's metrics."""

    def record(self, counts: Flow, moment: Moment) -> None:
        self.last = counts, moment


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_for_machines_a_line_has_its_numbers_apart_even_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    log, printed = logging.getLogger("shardlens"), io.StringIO()
    handler = logging.StreamHandler(printed)
    handler.setFormatter(JsonLines())
    monkeypatch.setattr(log, "handlers", [handler])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    level = log.level
    log.setLevel(logging.INFO)
    with follow(200, 100, should_stop=lambda _: False, progress_s=0) as ledger:
        ledger.begin(BATCH, "host:1")
        ledger.begin(BATCH, "host:2")
        ledger.end(BATCH, 30, 2)
    log.setLevel(level)
    found = [json.loads(line) for line in printed.getvalue().splitlines()]
    assert [(line["shard"], line["worker"]) for line in found if line["level"] == "warning"] == [(5, "host:1")]
    assert {"num_done": 132, "num_errors": 2, "total": 200, "images_per_s": 0.0}.items() <= found[-1].items()
