from __future__ import annotations

from pathlib import Path

import pytest
from listings import column_of, entries_of
from omegaconf import MISSING, OmegaConf

from actors.columns import URI
from actors.errors import JobError
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
