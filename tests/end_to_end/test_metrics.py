"""The metrics page of a job over HTTP, whose counts equal the report's, and the log as JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from urllib.request import urlopen

import pytest
from odd_images import bad_images
from photos import write_photos
from prometheus_client.parser import text_string_to_metric_families

from jobs.reporting.metrics import names

NUM_GOOD = 60

Page = dict[tuple[str, ...], float]


def read_page(port: int, run: str) -> Page:
    """Values on the page for a run, by name and by the labels that not all metrics have."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    page: Page = defaultdict(float)
    for sample in (sample for family in families for sample in family.samples):
        if sample.name.startswith("ray_shardlens_") and sample.labels["run"] == run:
            own = [sample.labels[label] for label in ("stage", "kind") if label in sample.labels]
            page[(sample.name.removeprefix("ray_shardlens_"), *own)] += sample.value
            assert sample.labels["model"]
    return page


def test_the_counts_are_those_of_the_report(cluster: str, batch_infer, tmp_path: Path) -> None:  # noqa: ANN001, ARG001
    import ray  # noqa: PLC0415  the guard of the unit tests

    folder = tmp_path / "mixed"
    good = write_photos(folder, NUM_GOOD, width=64, height=48)
    for name, (data, _) in bad_images().items():
        (folder / f"bad {name}.jpg").write_bytes(data)
    told = ("errors.max_ratio=0.9", "run.shard_size=16", "run.id=counted", "batch_size=4", "log.format=json")
    done = batch_infer("model=digits", "+dataset=images", f"dataset.path={folder}", *told)
    assert done.returncode == 0, done.stderr
    report = json.loads(Path(done.stdout.splitlines()[-1], "report.json").read_text())

    page = read_page(ray.nodes()[0]["MetricsExportPort"], "counted")  # what the driver said before it ended
    failed = {"/".join(key[1:]): value for key, value in page.items() if key[0] == "images_failed_total"}
    assert failed == report["error_kinds"]
    assert page["images_done_total",] == report["num_ok"] == NUM_GOOD
    for stage in ("read", "decode", "predict"):
        assert page["stage_seconds_total", stage] == pytest.approx(report[f"{stage}_s"], rel=1e-3)
    assert page["stage_seconds_total", "write"] > 0
    num_bytes = sum(path.stat().st_size for path in good)
    assert num_bytes < page["read_bytes_total",] <= num_bytes + sum(len(data) for data, _ in bad_images().values())
    assert page["images_listed",] == report["num_listed"]
    assert (page["images_left",], page["images_done_before",]) == (0, 0)
    assert page["errors_ratio",] == pytest.approx(report["num_errors"] / report["num_listed"])
    assert page["errors_ratio_limit",] == 0.9
    assert page["batch_size",] == 4
    assert 0 < page["parts_total",] <= len(list(Path(tmp_path).rglob("part-*.parquet")))
    assert {f"ray_shardlens_{key[0]}" for key in page} <= names()

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["run"] for line in lines if "run" in line} == {"counted"}
    assert any(line["message"].startswith("run counted: ") for line in lines)
