"""The command as a user experiences it: the sample, mistakes, interruptions and empty datasets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from photos import write_photos

import actors.sample
from actors.outputs import open_output
from jobs.pages.gallery import make_gallery

SAMPLE = Path(actors.sample.__file__).parent


def test_the_sample_on_a_cluster_of_its_own_and_once_more(tmp_path: Path) -> None:
    done = sample(tmp_path)
    output = tmp_path / "outputs" / "sample"
    run = Path(done.stdout.splitlines()[-1])
    assert run.parent == output / "runs"
    report = json.loads((run / "report.json").read_text())
    assert report["num_listed"] == report["num_ok"] == 1797
    assert report["num_labelled"] == 599
    assert report["accuracy_ratio"] > 0.97
    for said in ("1,797 listed", "images/s", "accuracy", str(output / "rows")):
        assert said in done.stdout
    rows = ds.dataset(output / "rows", partitioning="hive").to_table()
    assert len(set(rows["image_id"].to_pylist())) == 1797
    assert {"target", "digit", "label", "model", "run"} <= set(rows.column_names)
    assert len(pq.read_table(run / "inventory")) == 1797
    assert (run / "_SUCCESS").is_file()
    assert len(json.loads((run / "manifest.json").read_text())["rows"]) == len(list(output.rglob("part-*.parquet")))
    assert "ray" not in done.stderr.lower(), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]

    page = (run / "report.html").read_text()
    assert "All 1,797 images predicted" in page
    assert f"output.path={output} run.id=once verify.manifest_sha256=" in page
    assert report["command"] == "python -m jobs.batch_infer +dataset=sample run.id=once"
    assert report["execution"]["timeline"][-1][1] == 1797
    assert report["started_at"] < report["ended_at"]

    gallery = make_gallery(open_output(str(output)).run("once"))
    assert {"mistakes", "near_ties", "class/7", "cell/3/3"} <= set(gallery.groups)
    assert all(picture.thumbnail and not picture.note for some in gallery.groups.values() for picture in some)

    again = sample(tmp_path)
    assert "nothing to do" in again.stderr
    assert again.stdout.splitlines()[-1] == str(run)
    assert len(ds.dataset(output / "rows").to_table()) == 1797


def sample(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.batch_infer", "+dataset=sample", "run.id=once"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    ("overrides", "said"),
    [  # tests/jobs/runs/test_preflight.py has more
        (["+dataset=sample", "dataset.pth=x"], "did you mean dataset.path?"),
        (["+dataset=sample", "model.checkpoint={tmp}/broken.pt"], "model.checkpoint="),
    ],
)
def test_a_mistake_ends_with_2_and_a_fix(overrides: list[str], said: str, batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    (tmp_path / "broken.pt").write_bytes(b"not a checkpoint")
    done = batch_infer(*[text.format(tmp=tmp_path) for text in overrides])
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 5, done.stderr


def test_a_model_that_kills_its_worker_while_it_is_loaded_fails_the_job(batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    write_photos(tmp_path / "images", 3, width=40, height=30)
    torch.save({"head.weight": torch.zeros(2, 3), "head.bias": torch.zeros(2)}, tmp_path / "dying.pt")
    done = batch_infer(
        "+dataset=images", "dataset.path=images", "model.architecture=dying:Dying", "model.checkpoint=dying.pt"
    )
    assert done.returncode == 1
    said = "WorkerKilledError: loading the model killed its worker: it died 4 times in a row"
    assert said in done.stderr.strip().splitlines()[-2]
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "outputs").rglob("_SUCCESS"))


def test_an_empty_folder_that_is_allowed_is_a_published_run(batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    (tmp_path / "empty").mkdir()
    done = batch_infer("+dataset=images", "dataset.path=empty", "dataset.allow_empty=true", "model=digits")
    assert done.returncode == 0, done.stderr
    run = Path(done.stdout.splitlines()[-1])
    assert (run / "_SUCCESS").is_file()
    assert json.loads((run / "manifest.json").read_text())["num_listed"] == 0


def test_what_was_passed_over_is_told_and_all_that_fails_is_no_success(batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.jpg", "b.jpg", "._a.jpg", "c.psd"):
        (images / name).write_bytes(b"no image")
    told = ("+dataset=images", "dataset.path=images", "model=digits")
    done = batch_infer(*told)
    assert done.returncode == 3, done.stderr
    assert "all 2 images failed" in done.stderr
    assert "the listing skipped 2: " in done.stderr
    run = Path(done.stdout.splitlines()[-1])
    passed_over = {
        "hidden": {"count": 1, "examples": [f"{images}/._a.jpg"]},
        "unsupported": {"count": 1, "examples": [f"{images}/c.psd"]},
    }
    for name in ("run.json", "report.json"):
        assert json.loads((run / name).read_text())["passed_over"] == passed_over
    assert not (run / "_SUCCESS").exists()
    write_photos(tmp_path / "good", 1, width=32, height=32)
    (images / "a.jpg").write_bytes(next((tmp_path / "good").rglob("*.jpg")).read_bytes())
    done = batch_infer(*told, "run.redrive=true", "errors.max_ratio=0.5")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "report.json").read_text())["passed_over"] == passed_over  # it was not listed again


def test_a_sweep_runs_one_job_after_the_other_here_of_the_other_tasks(batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    done = batch_infer("+dataset=sample", "dataset.limit=30", "task=embed,raw", "batch_size=7", "--multirun")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs/sample/runs").iterdir())) == 2
    models = list((tmp_path / "outputs/sample/rows").iterdir())
    assert len(models) == 2
    columns = [column for model in models for column in columns_of(model)]
    assert sorted(columns) == ["embedding", "output"]


def columns_of(folder: Path) -> list[str]:
    """Returns the names of the list columns with ten numbers in each of the 30 rows."""
    rows = ds.dataset(folder).to_table()
    assert len(rows) == 30
    lists = [name for name in rows.column_names if pa.types.is_fixed_size_list(rows[name].type)]
    assert all((rows[name].type.list_size, rows[name].null_count) == (10, 0) for name in lists)
    return lists


def test_help_and_cfg_show_the_job() -> None:
    for flags, said in ((["--help"], "top_k"), (["+dataset=sample", "--cfg", "job"], "digits.parquet")):
        done = subprocess.run(
            [sys.executable, "-m", "jobs.batch_infer", *flags], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
