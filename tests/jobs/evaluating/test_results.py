from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from scored import Scored
from scored_runs import STORAGE, publish_rows

from actors.errors import JobError
from actors.outputs import PublishedRun, open_output
from actors.tasks.classify import Classify
from jobs.evaluating.config import Evaluate
from jobs.evaluating.measuring import Measured, measure
from jobs.evaluating.results import TIMM_COLUMNS, add_result, metrics_document, table_of


@pytest.fixture
def found(tmp_path: Path) -> tuple[PublishedRun, Measured]:
    publish_rows(tmp_path / "out", Classify(), [Scored.random(100, 6).rows], architecture="timm:resnet18")
    run = open_output(str(tmp_path / "out")).run("r")
    return run, measure(run, Evaluate())


def test_the_document_and_the_table(found: tuple[PublishedRun, Measured]) -> None:
    document = json.loads(json.dumps(metrics_document(*found)))
    assert (document["num_images"], document["num_failed"], document["num_labelled"]) == (101, 1, 100)
    assert document["metrics"]["top1"] == pytest.approx(100 * document["metrics"]["accuracy"])
    assert sum(number for _, _, number in document["confusion"]) == 100
    table = dict(table_of(*found))
    assert table["images"] == "100 with a known label, 1 failed and are excluded"
    assert table["top1"].endswith(" %")
    assert "worst classes" in table


def test_rows_in_the_columns_of_timm_are_added(found: tuple[PublishedRun, Measured], tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    add_result(str(file), *found, 11_700_000, STORAGE)
    add_result(str(file), *found, None, STORAGE)
    first, second = csv.DictReader(file.read_text().splitlines())
    assert tuple(first) == TIMM_COLUMNS
    assert first["model"] == "timm:resnet18"
    assert (first["param_count"], second["param_count"]) == ("11.7", "")
    assert (first["img_size"], first["crop_pct"], first["interpolation"]) == ("224", "0.875", "bilinear")
    assert float(first["top1"]) == pytest.approx(found[1].scores["top1"], abs=1e-4)
    assert first["top5"] == second["top5"]


def test_a_file_of_timm_keeps_its_columns_and_others_are_refused(
    found: tuple[PublishedRun, Measured], tmp_path: Path
) -> None:
    file = tmp_path / "results.csv"
    file.write_text("model,infer_samples_per_sec,top1\nvit,5,80.1")  # as timm may write it
    add_result(str(file), *found, None, STORAGE)
    assert file.read_text().splitlines()[:2] == ["model,infer_samples_per_sec,top1", "vit,5,80.1"]
    assert file.read_text().splitlines()[2].startswith("timm:resnet18,,")
    file.write_text("a,b\n")
    with pytest.raises(JobError, match="has no column model"):
        add_result(str(file), *found, None, STORAGE)
