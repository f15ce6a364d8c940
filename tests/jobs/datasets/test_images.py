from __future__ import annotations

import os
from pathlib import Path

import pytest
from listings import column_of, entries_of
from places import NAMES, Place

from actors.columns import FILE, IMAGE_ID, OFFSET, SIZE, TARGET, URI, VERSION
from actors.errors import JobError
from actors.reading.shards import Layout
from jobs.datasets.image_kinds import FIRST_EXTENSIONS
from jobs.datasets.images import ImagesDataset


def test_every_name_is_listed(place: Place) -> None:
    expected = [place.put(name, name.encode()) for name in NAMES]
    dataset = ImagesDataset(path=place.root, storage_options=place.options)
    dataset.check()
    entries = entries_of(dataset)
    assert sorted(entries[URI].to_pylist()) == sorted(expected)
    assert entries[IMAGE_ID] == entries[URI]
    sizes = dict(zip(entries[URI].to_pylist(), entries[SIZE].to_pylist(), strict=True))
    assert sizes == {uri: len(uri.removeprefix(f"{place.root}/").encode()) for uri in expected}
    assert entries[VERSION].null_count == 0
    assert entries[FILE].null_count == entries[OFFSET].null_count == len(NAMES)
    assert dataset.layout is Layout.FILES
    assert entries.column_names == [IMAGE_ID, URI, FILE, OFFSET, SIZE, VERSION]


def test_several_paths_in_their_order(place: Place) -> None:
    uris = [place.put(name, b"x") for name in ("b/1.jpg", "a/2.png", "c.tiff")]
    paths = [f"{place.root}/b", f"{place.root}/a/*", uris[2]]
    assert column_of(ImagesDataset(path=paths, storage_options=place.options), URI) == uris


def test_endings_that_count(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jpeg", "c.png", "d.txt", "jpg", "e.dng"):
        (tmp_path / name).touch()
    found = column_of(ImagesDataset(path=str(tmp_path)), URI)
    assert sorted(Path(uri).name for uri in found) == ["a.JPG", "b.jpeg", "c.png"]
    found = column_of(ImagesDataset(path=str(tmp_path), extensions=[".DNG", "txt"]), URI)
    assert sorted(Path(uri).name for uri in found) == ["d.txt", "e.dng"]


def test_labels_from_folders(place: Place) -> None:
    for name in ("cats/a.jpg", "dogs/deep/b.jpg", "日本/c.jpg"):
        place.put(name, b"x")
    dataset = ImagesDataset(path=place.root, folder_labels=True, storage_options=place.options)
    assert sorted(column_of(dataset, TARGET)) == ["cats", "deep", "日本"]


def test_a_label_from_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/a b\xff"))
    folder.mkdir()
    (folder / "x.jpg").touch()
    assert column_of(ImagesDataset(path=str(tmp_path), folder_labels=True), TARGET) == ["a b\ufffd"]


def test_thousands_of_files_are_never_held_together(tmp_path: Path) -> None:
    for number in range(5000):
        (tmp_path / f"{number}.jpg").touch()
    sizes = [len(table) for table in ImagesDataset(path=str(tmp_path)).entries()]
    assert sum(sizes) == 5000
    assert max(sizes) == 1000


def test_what_is_no_file_is_passed_over_unless_it_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "real.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("real.jpg")
    dataset = ImagesDataset(path=str(tmp_path))
    assert sorted(Path(uri).name for uri in column_of(dataset, URI)) == ["link.jpg", "real.jpg"]
    assert dataset.passed_over.counts == {"dangling link": 2, "special file": 1}
    assert column_of(ImagesDataset(path=f"{tmp_path}/gone.jpg"), SIZE) == [None]


def test_images_that_cannot_be_read_here_are_told_from_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.HEIC", "b.jxl", "c.txt"):
        (tmp_path / name).touch()
    dataset = ImagesDataset(path=str(tmp_path))
    with monkeypatch.context() as without:
        without.setattr("jobs.datasets.image_kinds.find_spec", lambda _: None)
        with pytest.raises(JobError, match=r"2 unsupported \(.*1 extension \(.*/c.txt\)|1 extension.*2 unsupported"):
            list(dataset.entries())
    monkeypatch.setattr("jobs.datasets.image_kinds.find_spec", lambda name: name)
    assert len(column_of(dataset, URI)) == 2
    assert dataset.passed_over.counts == {"extension": 1}


def test_more_kinds_by_default_are_the_same_dataset() -> None:
    first = ImagesDataset(path="/x", extensions=list(FIRST_EXTENSIONS))
    assert ImagesDataset(path="/x").identity() == first.identity()
    assert ImagesDataset(path="/x", extensions=["jpg"]).identity() != first.identity()


def test_every_path_is_checked(tmp_path: Path) -> None:
    dataset = ImagesDataset(path=[str(tmp_path), f"{tmp_path}/nope"])
    with pytest.raises(JobError, match=r"dataset\.path=.*/nope: no such file or folder"):
        dataset.check()
