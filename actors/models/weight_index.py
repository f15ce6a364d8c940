"""The index that save_pretrained writes for the shards of a large state_dict. Used where a checkpoint is read and where
its export is looked up, without PyTorch.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.messages import one_line, redacted
from actors.models.hub_files import on_this_machine
from actors.models.model_files import file_name, reading, sibling

if TYPE_CHECKING:
    from actors.storage.store import Storage

INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
"""Names of the file that save_pretrained writes next to the shards of a large state_dict."""


def read_index(uri: str, storage: Storage) -> dict[str, str]:
    """Maps the name of each entry to the file that holds it, in the folder of the index."""
    where = redacted(f"model.checkpoint={uri}")
    file = on_this_machine(uri)
    with reading(where):
        data = storage.read(file, max_bytes=_MAX_INDEX_BYTES)
    try:
        weight_map = json.loads(data)["weight_map"]
        names = {str(PurePosixPath(name).name) for name in weight_map.values()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise JobError(f"{where}: is not an index of shards: {one_line(error)}", fix=INDEX_FIX) from None
    outside = sorted(set(weight_map.values()) - (names - {".."}))
    if outside or not names:
        seen = f"names {outside[0]!r}, outside its folder" if outside else "names no shard"
        raise JobError(f"{where}: {seen}", fix=INDEX_FIX)
    return dict(weight_map)


def weight_files(uri: str, storage: Storage) -> list[str]:
    """Returns the URIs of all files of a checkpoint: itself, and the shards of an index."""
    if not is_index(uri):
        return [uri]
    return [uri, *(sibling(uri, shard) for shard in sorted(set(read_index(uri, storage).values())))]


def is_index(uri: str) -> bool:
    """Returns True if a checkpoint is an index of shards."""
    return file_name(uri).endswith(INDEX_SUFFIXES)


def is_shard(uri: str) -> bool:
    """Returns True if a checkpoint is one of several shards, judging by its name."""
    # A single shard, of 00001, is a whole state_dict.
    return re.search(r"-\d{5}-of-(?!00001)\d{5}\.", file_name(uri)) is not None


SHARD_FIX = "give the index of the shards, such as model.safetensors.index.json, as model.checkpoint"
INDEX_FIX = "copy the index and all its shards into one folder again"
_MAX_INDEX_BYTES = 64 << 20  # at about 100 bytes per entry, several hundred thousand tensors
