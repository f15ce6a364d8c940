from __future__ import annotations

from pathlib import Path

import commanded
import pytest
from answering import Reply, answering
from finished import add_photos
from pictured import opened_over, publish_all

from jobs.datasets.images import ImagesDataset


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "status", "said"),
    [
        (["run=r1", "url=URL", "output.path=out", "replay.path=replay.json"], 3, "3 drawn = 0 equal + 3 different + 0"),
        (["run=r1", "url=http://127.0.0.1:9", "output.path=out"], 1, "url=http://127.0.0.1:9"),
        (["run=r2", "url=URL", "output.path=out"], 2, "run=r2: there is no such run"),
        (["url=URL", "output.path=out"], 2, "run: not given"),
        (["--help"], 0, "python -m jobs.replay run=RUN_ID url=http://HOST:PORT output.path=PATH"),
    ],
)
def test_the_command_as_a_user_meets_it(overrides: list[str], status: int, said: str, tmp_path: Path) -> None:
    add_photos(tmp_path / "photos", range(3))
    publish_all(opened_over(ImagesDataset(path=str(tmp_path / "photos")), tmp_path / "out", id="r1"))
    with answering(lambda _: Reply({"label": "bird"})) as (url, _):
        given = [one.replace("URL", url) if one == "url=URL" else one for one in overrides]
        done = commanded.run("replay", *given, folder=tmp_path)
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "replay.json").exists() is (status == 3)
