"""Forty bad or unusual images among good ones: each has its outcome, metrics and report have the same counts, and the
exit status follows the error budget.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from urllib.request import urlopen

import pyarrow.dataset as ds
import pytest
from odd_images import bad_images, odd_images
from photos import write_photos
from prometheus_client.parser import text_string_to_metric_families

from jobs.reporting.metrics import names

NUM_GOOD = 60
NUM_OK = NUM_GOOD + len(odd_images())
DIGITS = ("model=digits", "+dataset=images")

Page = dict[tuple[str, ...], float]


def read_page(port: int, run: str) -> Page:
    """Returns the values on the page for a run, by name and by the labels that not all metrics have."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    page: Page = defaultdict(float)
    for sample in (sample for family in families for sample in family.samples):
        if sample.name.startswith("ray_shardlens_") and sample.labels["run"] == run:
            own = [sample.labels[label] for label in ("stage", "kind") if label in sample.labels]
            page[(sample.name.removeprefix("ray_shardlens_"), *own)] += sample.value
            assert sample.labels["model"]
    return page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    write_photos(folder, NUM_GOOD, width=64, height=48)
    for name, image in odd_images().items():
        (folder / f"odd {name}.jpg").write_bytes(image)
    for name, (data, _) in bad_images().items():
        (folder / f"bad {name}.jpg").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def done(cluster: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A run over the folder, with its log as JSON."""
    told = ("errors.max_ratio=0.9", "run.shard_size=16", "run.id=counted", "batch_size=4", "log.format=json")
    command = [sys.executable, "-m", "jobs.batch_infer", f"cluster.address={cluster}", *DIGITS, *told]
    done = subprocess.run(
        [*command, f"dataset.path={folder}"],
        cwd=tmp_path_factory.mktemp("counted"), capture_output=True, text=True, timeout=180,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def run(done: subprocess.CompletedProcess[str]) -> Path:
    """The folder of the run."""
    return Path(done.stdout.splitlines()[-1])


def test_the_counts_of_the_metrics_are_those_of_the_report(run: Path, folder: Path) -> None:
    import ray  # noqa: PLC0415  the guard of the unit tests

    report = json.loads((run / "report.json").read_text())
    page = read_page(ray.nodes()[0]["MetricsExportPort"], "counted")  # the last values before the driver ended
    failed = {"/".join(key[1:]): value for key, value in page.items() if key[0] == "images_failed_total"}
    assert failed == report["error_kinds"]
    assert page["images_done_total",] == report["num_ok"] == NUM_OK
    for stage in ("read", "decode", "predict"):
        assert page["stage_seconds_total", stage] == pytest.approx(report[f"{stage}_s"], rel=1e-3)
    assert page["stage_seconds_total", "write"] > 0
    num_bytes = sum(path.stat().st_size for path in folder.rglob("*.jpg") if not path.name.startswith("bad "))
    assert num_bytes < page["read_bytes_total",] <= num_bytes + sum(len(data) for data, _ in bad_images().values())
    assert page["images_listed",] == report["num_listed"]
    assert (page["images_left",], page["images_done_before",]) == (0, 0)
    assert page["errors_ratio",] == pytest.approx(report["num_errors"] / report["num_listed"])
    assert page["errors_ratio_limit",] == 0.9
    assert page["batch_size",] == 4
    assert 0 < page["parts_total",] <= len(list(run.parents[1].rglob("part-*.parquet")))
    assert {f"ray_shardlens_{key[0]}" for key in page} <= names()


def test_each_bad_image_is_named_and_each_good_one_predicted(run: Path) -> None:
    output = run.parents[1]
    rows = {Path(uri).name for uri in ds.dataset(output / "rows").to_table()["uri"].to_pylist()}
    errors = {Path(row["uri"]).name: row for row in ds.dataset(output / "errors").to_table().to_pylist()}
    assert {name.removeprefix("bad ").removesuffix(".jpg") for name in errors} == set(bad_images())
    assert all(row["stage"] in {"read", "decode"} and row["error"] and row["message"] for row in errors.values())
    assert len(rows) == NUM_OK
    assert not rows & errors.keys()


def test_each_line_of_the_log_is_json_with_the_run(done: subprocess.CompletedProcess[str]) -> None:
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["run"] for line in lines if "run" in line} == {"counted"}
    assert any(line["message"].startswith("run counted: ") for line in lines)


def test_over_the_budget_nothing_is_published(folder: Path, batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    run = tmp_path / "outputs" / "images" / "runs" / "over"
    for budget in ("errors.max_ratio=0.1", "errors.max_count=3"):  # the second also counts the rows of the first
        done = batch_infer(*DIGITS, f"dataset.path={folder}", budget, "errors.min_sample=10", "run.id=over")
        assert done.returncode == 3, done.stderr
        assert budget in done.stderr
        assert done.stdout.splitlines()[-1] == str(run)
        assert not (run / "_SUCCESS").exists()
        assert json.loads((run / "report.json").read_text())["status"] == "over_budget"
