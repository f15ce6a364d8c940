from __future__ import annotations

import logging

import pytest

from jobs.datasets.passed_over import COMPANION, NUM_EXAMPLES, PassedOver


def test_counts_by_reason_keep_a_few_examples_and_survive_json() -> None:
    passed_over = PassedOver()
    for number in range(100):
        passed_over.add("extension", f"{number}.heic")
    passed_over.add("hidden", ".git", number=3)
    assert passed_over.counts == {"extension": 100, "hidden": 3}
    assert passed_over.total == 103
    assert passed_over.examples == {"extension": [f"{n}.heic" for n in range(NUM_EXAMPLES)], "hidden": [".git"]}
    assert PassedOver.from_json(passed_over.to_json()) == passed_over
    passed_over.clear()
    assert passed_over.to_json() == {}


def test_one_line_with_counts_and_names_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    passed_over = PassedOver()
    with caplog.at_level(logging.INFO, "shardlens"):
        passed_over.log()
        assert caplog.records == []
        passed_over.add(COMPANION, "x.tar#1.json", number=2000)
        passed_over.log()
        passed_over.add("extension", "https://user:secret@h/a.txt")
        passed_over.log()
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]
    said = caplog.messages[-1]
    assert said.startswith("the listing skipped 2,001: 2,000 companion (x.tar#1.json, ...), 1 extension (https://")
    assert "secret" not in said


def test_hidden_names_alone_are_as_good_as_nothing() -> None:
    passed_over = PassedOver({"hidden": 2, "underscore": 1}, {})
    assert (passed_over.total, passed_over.num_visible) == (3, 0)
