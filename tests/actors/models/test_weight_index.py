from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.errors import JobError
from actors.models.weight_index import is_shard, weight_files
from actors.storage.store import Storage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[" * 100_000, "not an index"),
        ("[]", "not an index"),
        ('{"weight_map": ["a"]}', "not an index"),
        ('{"weight_map": {"a": 3}}', "not an index"),
        ('{"weight_map": {"a": ["b"]}}', "not an index"),
        ('{"weight_map": {}}', "names no shard"),
        ('{"weight_map": {"a": "../b.safetensors"}}', "outside its folder"),
        ('{"weight_map": {"a": "/b.safetensors"}}', "outside its folder"),
        ('{"weight_map": {"a": ".."}}', "outside its folder"),
    ],
)
def test_a_broken_index_is_reported(tmp_path: Path, text: str, seen: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises(JobError, match=seen):
        weight_files(str(index), Storage())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("m-00002-of-00003.safetensors", True), ("m-00001-of-00001.safetensors", False), ("m.safetensors", False)],
)
def test_a_shard_is_reported_by_its_name(name: str, wanted: bool) -> None:  # noqa: FBT001
    assert is_shard(f"s3://bucket/{name}") is wanted
