from __future__ import annotations

from pathlib import Path

import pytest
from listings import column_of, entries_of
from omegaconf import MISSING, OmegaConf
from places import Place

from actors.columns import URI
from actors.errors import JobError
from actors.storage.allowlist import Allowlist
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset

KINDS = [ImagesDataset, ManifestDataset, ParquetDataset, WebDataset]


def test_the_limit_cuts_the_list(tmp_path: Path) -> None:
    for number in range(2500):
        (tmp_path / f"{number}.jpg").touch()
    everything = column_of(ImagesDataset(path=str(tmp_path)), URI)
    for limit in (0, 1, 999, 1000, 1001, 2500, 9000):
        assert column_of(ImagesDataset(path=str(tmp_path), limit=limit), URI) == everything[:limit]


def test_a_limit_lists_no_more_than_it_needs(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    dataset = ImagesDataset(path=[str(tmp_path), f"{tmp_path}/nope"], limit=1)
    assert len(entries_of(dataset)) == 1


def test_a_limit_below_zero() -> None:
    with pytest.raises(JobError, match=r"dataset\.limit=-1"):
        ImagesDataset(path="/x", limit=-1).check()


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_is_the_object(kind: type[Dataset]) -> None:
    config = OmegaConf.structured(kind)
    assert OmegaConf.is_missing(config, "path")
    config.path = "/x"
    config.storage_options = {"region": "x"}
    rebuilt = OmegaConf.to_object(config)
    assert isinstance(rebuilt, kind)
    assert (rebuilt.path, rebuilt.limit) == ("/x", None)
    assert rebuilt.storage.options == {"region": "x"}
    assert kind.path == MISSING


@pytest.mark.parametrize("key", ["uri_column", "label_column", "keep_columns", "image_column"])
def test_images_have_no_columns(key: str) -> None:
    assert key not in OmegaConf.structured(ImagesDataset)
    assert ImagesDataset().kept_columns() == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_allowlist_belongs_to_the_storage_of_images(kind: type[Dataset]) -> None:
    assert kind(path="/x").image_storage.allow is None
    dataset = kind(path="/x", allow=["here", "s3://bucket"])
    assert dataset.storage.allow is None
    assert dataset.image_storage.allow == Allowlist.parse([str(Path("here").absolute()), "s3://bucket"])
    assert dataset.identity() == kind(path="/x").identity() | {"allow": ["here", "s3://bucket"]}
    with pytest.raises(JobError, match=r"dataset\.allow=s3://: not a prefix"):
        kind(path="/x", allow=["s3://"]).check()


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_dataset_is_a_mistake_unless_it_is_expected(kind: type[Dataset], place: Place) -> None:
    if place.server is None:
        Path(f"{place.root}/none").mkdir(parents=True)
    path, options = f"{place.root}/none", place.options
    with pytest.raises(JobError, match=r"empty|no such file") as caught:
        list(kind(path=path, storage_options=options).entries())
    if place.server is None:
        assert "dataset.allow_empty=true" in caught.value.fix
    dataset = kind(path=path, storage_options=options, allow_empty=True)
    dataset.check()
    assert len(entries_of(dataset)) == 0
    place.put("none/_SUCCESS", b"")
    assert len(entries_of(dataset)) == 0
    assert dataset.passed_over.counts == {"underscore": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_of_nothing_but_other_files_is_never_a_success(kind: type[Dataset], tmp_path: Path) -> None:
    (tmp_path / "notes.doc").touch()
    (tmp_path / ".hidden").touch()
    with pytest.raises(JobError, match=r"1 hidden \(.*1 extension \(.*notes\.doc|1 extension.*1 hidden"):
        list(kind(path=str(tmp_path), allow_empty=True).entries())


def test_keys_that_came_later_leave_the_identity_as_it_was() -> None:
    plain = ParquetDataset(path="/x")
    assert set(plain.identity()) == {
        *("kind", "path", "limit", "storage_options", "image_column", "id_column", "label_column", "keep_columns")
    }
    assert ParquetDataset(path="/x", exclude=["a"]).identity() != plain.identity()


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_can_be_resumed_with_more_requests_at_a_time(kind: type[Dataset]) -> None:
    assert kind(path="/x", read_concurrency=64).identity() == kind(path="/x").identity()


@pytest.mark.parametrize("number", [0, 101])
def test_a_number_of_requests_out_of_range(number: int) -> None:
    with pytest.raises(JobError, match=rf"dataset\.read_concurrency={number}: not from 1 to 100"):
        ImagesDataset(path="/x", read_concurrency=number).check()


def test_braces_stand_for_several_paths_unless_a_name_has_them(place: Place) -> None:
    expected = [place.put(f"{number:02}/x.jpg", b"") for number in (8, 9, 10)]
    dataset = ImagesDataset(path=f"{place.root}/{{08..10}}", storage_options=place.options)
    assert column_of(dataset, URI) == expected
    literal = place.put("{08..10}/y.jpg", b"")
    assert column_of(dataset, URI) == [literal]
    with pytest.raises(JobError, match=r"/11: no such file or folder"):
        ImagesDataset(path=f"{place.root}/{{10,11}}", storage_options=place.options).check()
