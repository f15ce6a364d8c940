from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import pytest
from listings import column_of, entries_of
from places import Place
from tars import tar_of

from actors.columns import FILE, IMAGE_ID, OFFSET, SIZE, TARGET, URI, VERSION
from actors.errors import JobError
from actors.reading.shards import Layout
from actors.storage.store import Storage
from jobs.datasets.webdataset import WebDataset


def members(start: int, stop: int) -> dict[str, bytes]:
    found = {}
    for number in range(start, stop):
        found[f"train/{number:04}.jpg"] = b"image %d" % number
        found[f"train/{number:04}.cls"] = b"%d\n" % (number % 3)
        found[f"train/{number:04}.json"] = json.dumps({"id": f"id-{number}", "width": number}).encode()
    return found


def test_images_and_what_belongs_to_them(place: Place) -> None:
    first, second = place.put("a #1.tar", tar_of(members(0, 300))), place.put("b/日本.tar", tar_of(members(300, 310)))
    dataset = WebDataset(
        path=[first, f"{place.root}/b"],
        id_column="id",
        label_column="cls",
        keep_columns=["width", "cls"],
        storage_options=place.options,
    )
    dataset.check()
    entries = entries_of(dataset)
    assert entries[IMAGE_ID].to_pylist() == [f"id-{number}" for number in range(310)]
    assert entries[TARGET].to_pylist() == entries["cls"].to_pylist() == [str(number % 3) for number in range(310)]
    assert entries["width"].to_pylist() == [str(number) for number in range(310)]
    assert entries[URI].to_pylist()[::309] == [f"{first}#train/0000.jpg", f"{second}#train/0309.jpg"]
    storage = Storage(place.options)
    for row in entries.slice(295, 10).to_pylist():
        data = storage.read_ranges(row[FILE], [row[OFFSET]], [row[SIZE]])[0]
        assert data == b"image %d" % int(row["width"])
    assert dataset.layout is Layout.RANGES
    assert dataset.kept_columns() == ["width", "cls"]


def test_the_uri_or_the_key_may_be_the_id(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(members(0, 1)))
    assert column_of(WebDataset(path=str(tmp_path)), IMAGE_ID) == [f"{tmp_path}/x.tar#train/0000.jpg"]
    assert column_of(WebDataset(path=str(tmp_path), id_column="__key__"), IMAGE_ID) == ["train/0000"]


def test_the_best_ending_wins(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(dict.fromkeys(["1.png", "1.jpg", "1.seg.png", "2.png"], b"x")))

    def listed(image_column: str) -> list[str]:
        found = column_of(WebDataset(path=str(tmp_path), image_column=image_column), URI)
        return [uri.rpartition("#")[2] for uri in found]

    assert listed("jpg;png") == ["1.jpg", "2.png"]
    assert listed("png; .JPG;") == ["1.png", "2.png"]
    assert listed("seg.png") == ["1.seg.png"]


def test_longer_endings_count_where_there_is_no_exact_one(tmp_path: Path) -> None:
    names = ["1.left.jpg", "1.right.jpg", "1.json", "IMG.2024.05.jpg", "v1.5 x.jpg"]
    (tmp_path / "x.tar").write_bytes(tar_of(dict.fromkeys(names, b"x")))
    found = column_of(WebDataset(path=str(tmp_path)), URI)
    assert [uri.rpartition("#")[2] for uri in found] == ["1.left.jpg", "1.right.jpg", "IMG.2024.05.jpg", "v1.5 x.jpg"]


def test_samples_without_an_image_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(dict.fromkeys(["1.jpg", "2.txt", "3.txt"], b"x")))
    with caplog.at_level(logging.WARNING, "shardlens"):
        assert len(entries_of(WebDataset(path=str(tmp_path)))) == 1
    assert "2 of 3 samples have no image" in caplog.text


def test_no_image_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(dict.fromkeys(["1.jpg", "2.jpg"], b"x")))
    with pytest.raises(JobError, match=r"dataset\.image_column=jgp: no member"):
        WebDataset(path=str(tmp_path), image_column="jgp").check()


def test_tars_without_members_list_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of({}))
    dataset = WebDataset(path=str(tmp_path), keep_columns=["width"], allow_empty=True)
    dataset.check()
    assert entries_of(dataset).num_rows == 0


def test_a_column_that_no_sample_has(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(members(0, 3)))
    with pytest.raises(JobError, match=r"none of the first 3 images of .* has labl"):
        WebDataset(path=str(tmp_path), label_column="labl").check()
    with pytest.raises(JobError, match=r"dataset\.keep_columns=uri"):
        WebDataset(path=str(tmp_path), keep_columns=["uri"]).check()


def test_a_column_that_some_samples_lack(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of({"1.jpg": b"", "2.jpg": b"", "2.cls": b"cat"}))
    assert column_of(WebDataset(path=str(tmp_path), label_column="cls"), TARGET) == [None, "cat"]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz"])
def test_a_compressed_tar_in_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(tar_of(members(0, 3))))
    with pytest.raises(JobError, match=f"dataset.path={tmp_path}/{name}: it is compressed with gzip"):
        WebDataset(path=str(tmp_path)).check()


def test_a_cut_tar_stops_the_listing(place: Place) -> None:
    data = tar_of(members(0, 600))
    place.put("x.tar", data[: len(data) // 2])
    dataset = WebDataset(path=place.root, storage_options=place.options)
    dataset.check()
    with pytest.raises(JobError, match=r"dataset\.path=.*/x\.tar: "):
        list(dataset.entries())


def test_the_version_is_the_tars(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(members(0, 3)))
    assert len(set(column_of(WebDataset(path=str(tmp_path)), VERSION))) == 1
