from __future__ import annotations

import json
from pathlib import Path

import commanded
import pytest
from compared import classified, comparison, publish_run
from places import Place, local_place

from actors.errors import JobError
from actors.storage.store import Storage
from actors.tasks.embed import Embed
from jobs.cli.entry import ExitStatus
from jobs.compare import compare


def publish_two(place: Place) -> None:
    publish_run(place, "a", classified([("1", "\x1b[31mred", 0.5), ("2", "x", 0.5), ("3", "x", 0.5)]))
    b = classified([("1", "<b>", 0.5), ("2", "x", 0.75)])
    publish_run(place, "b", b, errors={"3": ("decode", "truncated")})


def test_files_are_written_beside_run_b_or_where_the_user_wants(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_two(place)
    storage = Storage(place.options)
    assert compare(comparison(place, "a", "b", max_new_errors=0)) is ExitStatus.OVER_BUDGET
    folder = f"{place.root}/runs/b/comparisons/a"
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"{folder}/comparison.html"
    assert "\x1b" not in printed
    document = json.loads(storage.read(f"{folder}/comparison.json"))
    assert document["limits"] == [{"limit": "max_new_errors", "value": 0, "found": 1, "is_kept": False}]
    assert (document["num_flips"], document["errors"]["num_new"]) == (1, 1)
    assert b"comparison.json" in storage.read(f"{folder}/comparison.html")
    options = {"path": str(tmp_path / "elsewhere"), "max_flip_ratio": 0.5, "max_new_errors": 1, "pictures": 0}
    assert compare(comparison(place, f"{place.root}/runs/a", "b", **options)) is ExitStatus.DONE
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["comparison.html", "comparison.json"]
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match="cannot be written"):
        compare(comparison(place, "a", "b", path=str(tmp_path / "file/below")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["a=a", "b=b", "output.path=out"], 0, "flips           1 image; ratio 0.5"),
        (["a=a", "b=a", "output.path=out", "compare.max_flip_ratio=0", "compare.max_drift=0"], 0, "flips           0"),
        (["a=a", "b=out/runs/b", "output.path=out", "compare.max_flip_ratio=0.1"], 3, "max_flip_ratio=0.1: the flip"),
        (
            ["a=a", "b=vectors", "output.path=out"],
            2,
            "run A (a) is of task=classify, and run B (vectors) of task=embed",
        ),
        (["a=vectors", "b=vectors", "output.path=out", "compare.max_flip_ratio=0"], 2, "its answers name no classes"),
        (["a=a", "b=x", "output.path=out"], 2, "b=x: there is no such run"),
        (["a=a", "output.path=out"], 2, "b: not given"),
        (["--help"], 0, "python -m jobs.compare a=RUN b=RUN output.path=PATH"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    place = local_place(tmp_path / "out")
    publish_two(place)
    publish_run(place, "vectors", classified([]), task=Embed())
    done = commanded.run("compare", *overrides, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
