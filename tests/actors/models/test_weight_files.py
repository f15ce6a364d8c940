from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch
from networks import tiny

from actors.errors import JobError
from actors.models.network import build_network
from actors.models.spec import Model
from actors.models.weight_files import read_weights
from actors.storage.store import Storage

if TYPE_CHECKING:
    from pathlib import Path


def save_shards(folder: Path, kind: str = "safetensors") -> str:
    """Writes an index with two shards beside it, and returns its path."""
    weights = tiny(10).state_dict()
    shards: dict[str, dict[str, torch.Tensor]] = {}
    for place, (name, tensor) in enumerate(weights.items()):
        shards.setdefault(f"model-0000{1 + place % 2}-of-00002.{kind}", {})[name] = tensor
    for shard, entries in shards.items():
        save = safetensors.torch.save_file if kind == "safetensors" else torch.save
        save(entries, folder / shard)
    weight_map = {name: shard for shard, entries in shards.items() for name in entries}
    index = folder / f"model.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return str(index)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_one_checkpoint(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    wanted = tiny(10).state_dict()
    torch.manual_seed(0)
    index = save_shards(tmp_path, kind)
    found = build_network(Model("networks:tiny", checkpoint=index)).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_one_shard_alone_asks_for_the_index(tmp_path: Path) -> None:
    save_shards(tmp_path)
    model = Model("networks:tiny", checkpoint=str(tmp_path / "model-00001-of-00002.safetensors"))
    with pytest.raises(JobError, match=r"fix: give the index of the shards"):
        build_network(model)


def test_a_shard_that_is_missing_or_lacks_an_entry_is_named(tmp_path: Path) -> None:
    index, shard = save_shards(tmp_path), "model-00002-of-00002.safetensors"
    safetensors.torch.save_file({}, tmp_path / shard)
    with pytest.raises(JobError, match=f"its shard {shard} lacks"):
        read_weights(index, Storage())
    (tmp_path / shard).unlink()
    with pytest.raises(JobError, match=rf"{shard}: no such file"):
        read_weights(index, Storage())
