"""Forty bad or odd images among good ones: each has its outcome, and the exit status follows the error budget."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from odd_images import bad_images, odd_images
from photos import write_photos

NUM_GOOD = 60
DIGITS = ("model=digits", "+dataset=images")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    write_photos(folder, NUM_GOOD, width=64, height=48)
    for name, image in odd_images().items():
        (folder / f"odd {name}.jpg").write_bytes(image)
    for name, (data, _) in bad_images().items():
        (folder / f"bad {name}.jpg").write_bytes(data)
    return folder


def test_each_bad_image_is_named_and_each_good_one_predicted(folder: Path, batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    done = batch_infer(*DIGITS, f"dataset.path={folder}", "errors.max_ratio=0.9", "run.shard_size=16")
    assert done.returncode == 0, done.stderr
    output = tmp_path / "outputs" / "images"
    rows = {Path(uri).name for uri in ds.dataset(output / "rows").to_table()["uri"].to_pylist()}
    errors = {Path(row["uri"]).name: row for row in ds.dataset(output / "errors").to_table().to_pylist()}
    assert {name.removeprefix("bad ").removesuffix(".jpg") for name in errors} == set(bad_images())
    assert all(row["stage"] in {"read", "decode"} and row["error"] and row["message"] for row in errors.values())
    assert len(rows) == NUM_GOOD + len(odd_images())
    assert not rows & errors.keys()


def test_over_the_budget_nothing_is_published(folder: Path, batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    run = tmp_path / "outputs" / "images" / "runs" / "over"
    for budget in ("errors.max_ratio=0.1", "errors.max_count=3"):  # the second holds what the first has done to it
        done = batch_infer(*DIGITS, f"dataset.path={folder}", budget, "errors.min_sample=10", "run.id=over")
        assert done.returncode == 3, done.stderr
        assert budget in done.stderr
        assert done.stdout.splitlines()[-1] == str(run)
        assert not (run / "_SUCCESS").exists()
        assert json.loads((run / "report.json").read_text())["status"] == "over_budget"
