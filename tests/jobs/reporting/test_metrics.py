"""Names and labels of the metrics, and the increments of one pass."""

from __future__ import annotations

import pytest

from jobs.reporting.metrics import COUNTERS, GAUGES, LABELS, Metrics, names
from jobs.reporting.moment import Moment


def test_names_follow_the_conventions_of_prometheus() -> None:
    assert "ray_shardlens_images_failed_total" in names()
    assert "ray_shardlens_progress_timestamp_seconds" in names()
    assert len(names()) == len(COUNTERS) + len(GAUGES)
    assert not any(name.endswith("_total_total") for name in names())
    for meaning in (*COUNTERS.values(), *GAUGES.values()):
        assert meaning.text.endswith(".")
        assert not set(LABELS) & set(meaning.labels)


class Noted:
    """Stand-in for a Ray metric, which only Ray's agent can read; the end-to-end test reads the real one."""

    def __init__(self, name: str, _text: str, labels: tuple[str, ...]) -> None:
        self.name, self.labels = name, labels
        self.values: dict[tuple[str, ...], float] = {}

    def set_default_tags(self, tags: dict[str, str]) -> Noted:
        self.tags = tags
        return self

    def inc(self, value: float, tags: dict[str, str]) -> None:
        key = tuple((self.tags | tags)[label] for label in self.labels)
        self.values[key] = self.values.get(key, 0) + value

    def set(self, value: float) -> None:
        self.values = {tuple(self.tags[label] for label in self.labels): value}


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> Metrics:
    monkeypatch.setattr("jobs.reporting.metrics.Counter", Noted)
    monkeypatch.setattr("jobs.reporting.metrics.Gauge", Noted)
    return Metrics("nightly-7", "m1f", num_errors_before=10, facts={"images_listed": 200, "batch_size": 32})


def value(metrics: Metrics, name: str, *labels: str) -> float:
    noted = {**metrics._counters, **metrics._gauges}[name]
    return noted.values[("nightly-7", "m1f", *labels)]  # type: ignore[attr-defined,no-any-return]


def test_counters_increase_by_the_difference_to_the_last_record(metrics: Metrics) -> None:
    failed = ("images_failed", "decode", "truncated")
    for num_images, num_failed in ((30, 0), (30, 0), (60, 4)):
        counts = {("images_done",): num_images, ("blocks",): num_images / 30}
        metrics.record(counts | ({failed: num_failed} if num_failed else {}), Moment(100, 4, 200, 12.5))
    assert value(metrics, "images_done") == 60
    assert value(metrics, "images_failed", "decode", "truncated") == 4
    assert not metrics._counters["parts"].values  # type: ignore[attr-defined]


def test_gauges_show_the_state_of_the_whole_run_at_each_record(metrics: Metrics) -> None:
    metrics.record({}, Moment(100, 0, 200, 0.0))
    metrics.record({("blocks",): 1}, Moment(140, 4, 200, 12.5))
    found = {name: value(metrics, name) for name in GAUGES}
    assert found.pop("progress_timestamp_seconds") > 1.7e9
    assert found == {
        "images_listed": 200,
        "images_done_before": 0,
        "images_left": 60,
        "images_per_second": 12.5,
        "errors_ratio": 0.1,
        "errors_ratio_limit": 0,
        "batch_size": 32,
        "workers": 0,
    }


def test_only_a_finished_block_counts_as_progress(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    times = []
    for now, num_blocks in ((1000, 1), (2000, 1), (3000, 2)):
        monkeypatch.setattr("jobs.reporting.metrics.time.time", lambda now=now: now)
        metrics.record({("blocks",): num_blocks}, Moment(1, 0, 200, 0.0))
        times.append(value(metrics, "progress_timestamp_seconds"))
    assert times == [1000, 1000, 3000]
