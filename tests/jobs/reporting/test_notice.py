"""Notices to a webhook: a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from answering import Asked, Reply, answering

from actors.engines.configs import AutoEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.storage.store import Storage
from actors.tasks.classify import Classify
from jobs.cli.entry import ExitStatus
from jobs.cli.shutdown import StoppedError
from jobs.config import to_yaml
from jobs.datasets.images import ImagesDataset
from jobs.job import Job, Notify, Output
from jobs.leases.lease import HeldError
from jobs.reporting import notice
from jobs.reporting.notice import notify_end, notify_error


@dataclass
class Webhook:
    url: str
    answers: list[int] = field(default_factory=list)
    """Statuses of the first requests; later ones get 200."""
    taken: list[dict[str, Any]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    hook = Webhook("")

    def reply(asked: Asked) -> Reply:
        hook.taken.append(json.loads(asked.body))
        hook.tokens.append(asked.token)
        return Reply({}, hook.answers.pop(0) if hook.answers else 200, (("Location", f"{hook.url}/elsewhere"),))

    monkeypatch.setattr(notice, "_WAITS_S", (0.01, 0.01, 0.01))
    with answering(reply) as (address, _):
        hook.url = f"{address}/hook"
        yield hook


def job(url: str) -> Job:
    return Job(
        dataset=ImagesDataset(path="s3://user:secret@bucket/in"),
        model=Model("net:Net", checkpoint="w.pt"),
        engine=AutoEngineConfig(),
        task=Classify(),
        output=Output(path="/out"),
        notify=Notify(url),
    )


def test_the_end_of_a_run_sends_its_figures(webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLENS_NOTIFY_TOKEN", "t0ken")
    webhook.answers = [503, 429]
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"run_id": "r1", "num_listed": 10, "num_ok": 9, "num_errors": 1, "execution": {}}))
    notify_end(job(webhook.url), ExitStatus.DONE, str(report), Storage())
    *_, sent = webhook.taken
    assert webhook.taken == [sent] * 3
    assert webhook.tokens == ["Bearer t0ken"] * 3
    assert sent == {
        "text": "shardlens: done: 9 ok, 1 errors of 10 images: /out",
        "status": "done",
        "exit_status": 0,
        "output": "/out",
        "dataset": "s3://…@bucket/in",
        "model": "net:Net",
        "report": str(report),
        "run_id": "r1",
        "num_listed": 10,
        "num_ok": 9,
        "num_errors": 1,
    }


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (JobError("model.checkpoint=w.pt: does not exist", fix="give a file"), "job_wrong", "does not exist"),
        (StoppedError(), "stopped", "StoppedError"),
        (HeldError("another driver holds this output"), "held", "another driver"),
        (ValueError("boom"), "failed", "boom"),
    ],
)
def test_an_end_without_a_report_sends_the_reason(
    webhook: Webhook, error: BaseException, status: str, message: str
) -> None:
    notify_error(job(webhook.url), error)
    [sent] = webhook.taken
    assert sent["status"] == status
    assert message in sent["message"]


def test_a_webhook_that_fails_is_a_warning_without_its_address(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    webhook.answers = [302]
    notify_error(job(webhook.url), ValueError("boom"))
    assert len(webhook.taken) == 1  # neither followed nor retried
    notify_error(job("http://127.0.0.1:9/secret"), ValueError("boom"))
    assert "status 302" in caplog.text
    assert caplog.text.count("notify.url got no notice") == 2
    assert "secret" not in caplog.text


def test_the_config_of_a_run_hides_the_address() -> None:
    assert "secret" not in to_yaml(job("https://hooks.example/secret"))
    with pytest.raises(JobError, match=r"notify\.url"):
        Notify("hooks.example/secret")


def test_it_is_sent_where_an_event_loop_runs(webhook: Webhook) -> None:
    async def cell() -> None:
        notify_error(job(webhook.url), ValueError("boom"))

    asyncio.run(cell())
    assert len(webhook.taken) == 1
