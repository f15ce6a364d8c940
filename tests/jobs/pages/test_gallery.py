from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from photos import write_photos
from pictured import LABELS, opened_over, publish_all
from PIL import Image

from actors.outputs import PublishedRun, open_output
from actors.storage.store import Storage
from jobs.datasets.images import ImagesDataset
from jobs.pages.gallery import Gallery, Picture, make_gallery

NUM_IMAGES = 60


@pytest.fixture
def run(tmp_path: Path) -> PublishedRun:
    paths = write_photos(tmp_path / "data", NUM_IMAGES, width=200, height=150)
    for path in paths:  # three folders named after classes, and one that is not
        number = int(path.stem)
        target = tmp_path / "data" / [*LABELS, "a/b"][number % 4]
        target.mkdir(exist_ok=True, parents=True)
        path.rename(target / path.name)
    (tmp_path / "data" / LABELS[0] / "junk9.jpg").write_bytes(b"\xff\xd8 junk")
    dataset = ImagesDataset(path=str(tmp_path / "data"), folder_labels=True, storage_options={"region": "here"})
    return publish_all(opened_over(dataset, tmp_path / "out"), bad=["9.jpg"], cuts=[20, 21])


def by_id(gallery: Gallery) -> dict[str, Picture]:
    return {picture.row["image_id"]: picture for some in gallery.groups.values() for picture in some}


def test_each_picture_shows_its_image(run: PublishedRun) -> None:
    gallery = make_gallery(run)
    pictures = by_id(gallery)
    assert len({id(picture) for some in gallery.groups.values() for picture in some}) == len(pictures)
    for picture in pictures.values():
        if "junk" in picture.row["uri"]:
            continue
        wanted = Image.open(picture.row["uri"]).convert("RGB").resize((128, 96), Image.Resampling.BOX)
        shown = Image.open(BytesIO(picture.thumbnail)).convert("RGB")
        assert shown.size == (128, 96)
        assert np.abs(np.asarray(shown).astype(int) - np.asarray(wanted)).mean() < 12
        assert picture.note == ""


def test_groups_have_readable_names(run: PublishedRun) -> None:
    gallery = make_gallery(run)
    assert {"class/cat", "class/dog", "class/fox", "cell/cat/dog", "cell/-1/fox", "mistakes"} <= set(gallery.groups)
    for name in LABELS:
        assert {picture.row["label"] for picture in gallery.groups[f"class/{name}"]} == {name}
    assert {picture.row["target"] for picture in gallery.groups["cell/cat/dog"]} == {"cat"}
    errors = {Path(one.row["uri"]).name: one for one in gallery.groups["error/decode/truncated"]}
    assert all(one.thumbnail for name, one in errors.items() if name != "junk9.jpg")
    if "junk9.jpg" in errors:
        assert errors["junk9.jpg"].note.startswith("7 bytes: ff d8 20")
    unnamed = PublishedRun(**{**vars(run), "config": {**run.config, "model": {"labels": None}}})
    assert "cell/0/1" in make_gallery(unnamed).groups


def test_a_limit_is_kept_and_the_time_too(run: PublishedRun) -> None:
    assert len(by_id(make_gallery(run, limit=20))) == 20
    assert make_gallery(run, seconds=0.0) == Gallery({})


def test_a_run_without_its_images_still_has_rows(run: PublishedRun, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    pictures = by_id(make_gallery(run))
    assert pictures
    assert {picture.thumbnail for picture in pictures.values()} == {b""}
    assert all("no such file" in picture.note.lower() for picture in pictures.values())


def test_nothing_raises(run: PublishedRun, caplog: pytest.LogCaptureFixture) -> None:
    storage = run.storage
    storage.delete(uri for batch in storage.list(run.paths.inventory) for uri in batch["uri"].to_pylist())
    assert make_gallery(run) == Gallery({})
    assert "no inventory" in caplog.messages[-1]
    assert make_gallery(PublishedRun(**{**vars(run), "config": {}})) == Gallery({})


def test_secrets_that_the_config_hides_can_be_given(run: PublishedRun) -> None:
    config = yaml.safe_load(Path(run.paths.config).read_text())
    config["dataset"] |= {"storage_options": {"secret_access_key": "***"}, "allow": ["elsewhere"]}
    Path(run.paths.config).write_text(yaml.safe_dump(config))
    again = open_output(run.paths.root).run(run.run_id)
    assert {"dataset.allow" in picture.note for picture in by_id(make_gallery(again)).values()} == {True}
    pictures = by_id(make_gallery(again, image_storage=Storage()))
    assert sum(bool(picture.thumbnail) for picture in pictures.values()) >= len(pictures) - 1
