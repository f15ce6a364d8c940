"""The golden images of a bundle: a few real, encoded images and the reference's outputs for them. Written by an export,
read where a bundle is checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage.uris import join

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from actors.storage.store import Storage

INPUTS, OUTPUTS = "golden/inputs.parquet", "golden/outputs.parquet"
NUM_GOLDEN = 16


@dataclass(frozen=True)
class Golden:
    """Images and their reference outputs."""

    images: list[bytes]
    names: list[str]
    outputs: Mapping[str, np.ndarray]
    """Network outputs by name, each with one entry per image; floating point is float32."""


def write_golden(folder: Path, golden: Golden) -> None:
    """Writes two files below ``folder``: images as Hugging Face's struct of bytes and path, outputs as flat lists."""
    paths = (folder / INPUTS, folder / OUTPUTS)
    paths[0].parent.mkdir(exist_ok=True)
    images = [{"bytes": image, "path": name} for image, name in zip(golden.images, golden.names, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind)}), paths[0], compression="none")
    columns = {name: _flat(values) for name, values in golden.outputs.items()}
    shapes = {name: values.shape[1:] for name, values in golden.outputs.items()}
    table = pa.table(columns).replace_schema_metadata({_SHAPES: json.dumps(shapes)})
    pq.write_table(table, paths[1])


def read_golden(folder: str, storage: Storage) -> Golden:
    """Reads the files of `write_golden` below ``folder``, a path or URI; their digests must already be checked."""
    inputs, outputs = (pq.read_table(pa.BufferReader(storage.read(join(folder, name)))) for name in (INPUTS, OUTPUTS))
    images = inputs["image"].to_pylist()
    shapes = json.loads(outputs.schema.metadata[_SHAPES])
    values = {name: _unflat(outputs[name], shapes[name]) for name in outputs.column_names}
    return Golden([image["bytes"] for image in images], [image["path"] for image in images], values)


def choose_golden(sizes: Sequence[int], preferred: Sequence[int] = ()) -> list[int]:
    """Returns the positions of up to `NUM_GOLDEN` images, given all sizes in bytes: the first ones that are not large,
    those at the positions ``preferred`` before others.
    """
    small = [place for place, size in enumerate(sizes) if size <= _MOST_BYTES]
    small.sort(key=lambda place: place not in preferred)
    return sorted((small or [int(np.argmin(sizes))])[:NUM_GOLDEN])


_SHAPES = b"shardlens.shapes"
_MOST_BYTES = 1 << 20  # per image: the set is part of every copy of the bundle


def _flat(values: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))


def _unflat(column: pa.ChunkedArray, shape: Sequence[int]) -> np.ndarray:
    values: np.ndarray = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), *shape)
