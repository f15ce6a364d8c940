from __future__ import annotations

from pathlib import Path

import pytest
from finished import add_photos
from pictured import opened_over, publish_all

from actors.errors import ImageError, JobError
from actors.outputs import PublishedRun
from jobs.datasets.images import ImagesDataset
from jobs.replaying.sample import draw


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    add_photos(tmp_path / "photos", range(9))
    return tmp_path / "photos"


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> PublishedRun:
    return publish_all(opened_over(ImagesDataset(path=str(photos)), tmp_path / "out"), bad=["5.jpg"], cuts=[3, 4])


def name(uri: str) -> str:
    return uri.rpartition("/")[2]


def test_every_image_comes_with_its_own_row(run: PublishedRun, photos: Path) -> None:
    drawn = {name(sent.row["uri"]): sent for sent in draw(run, 100)}
    assert sorted(drawn) == [f"{number}.jpg" for number in range(9)]
    rows = {name(row["uri"]): row for table in run.read() for row in table.to_pylist()}
    for file, sent in drawn.items():
        assert sent.image == (photos / file).read_bytes()
        assert sent.row["stage"] == "decode" if file == "5.jpg" else sent.row["label"] == rows[file]["label"]
    assert "target" not in drawn["0.jpg"].row


def test_a_sample_is_always_the_same(run: PublishedRun) -> None:
    first, second = ([sent.row["uri"] for sent in draw(run, 4)] for _ in range(2))
    assert first == second
    assert len({*first}) == 4


def test_an_image_that_changed_or_is_gone_is_named(run: PublishedRun, photos: Path) -> None:
    (photos / "1.jpg").write_bytes(b"other bytes")
    (photos / "2.jpg").unlink()
    drawn = {name(sent.row["uri"]): sent.image for sent in draw(run, 100)}
    assert {file for file, image in drawn.items() if isinstance(image, ImageError)} == {"1.jpg", "2.jpg"}


def test_a_lost_inventory_is_named(run: PublishedRun) -> None:
    for file in Path(run.paths.inventory).glob("*"):
        file.unlink()
    with pytest.raises(JobError, match="no inventory"):
        list(draw(run, 3))
