"""One vector an image. Runs in the predictor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.tasks.base import Outputs, pick_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class EmbeddingType(Enum):
    """How the numbers of an embedding are stored."""

    float32 = "float32"
    float16 = "float16"


@dataclass
class Embed:
    """Gives ``embedding``, a fixed-size list. A row whose vector is not finite is an error row."""

    name: str = "embed"
    dtype: EmbeddingType = EmbeddingType.float32
    """float16 halves the output; its steps are about 1/1000 of a value."""
    normalize: bool = False
    """Divide each vector by its Euclidean length; a vector of zeros stays as it is."""
    output: str | None = None
    """Which output holds the vector; needed only where several could."""

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        output = pick_output(outputs, self.output, rank=1, task="embed")
        return [pa.field("embedding", pa.list_(self._arrow_type(), outputs.shapes[output][0]))]

    def columns(
        self,
        tensors: Mapping[str, np.ndarray],
        labels: Sequence[str] | None,  # noqa: ARG002
    ) -> tuple[list[pa.Array], np.ndarray]:
        output = pick_output(Outputs.of(tensors), self.output, rank=1, task="embed")
        vectors = tensors[output].astype(np.float32, copy=False)
        if self.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        with np.errstate(over="ignore"):  # what float16 cannot hold is told by the check below
            stored = vectors.astype(self.dtype.value)
        values = pa.array(stored.ravel(), self._arrow_type())
        valid = np.isfinite(stored).all(axis=1)
        return [pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])], valid

    def _arrow_type(self) -> pa.DataType:
        return {"float32": pa.float32(), "float16": pa.float16()}[self.dtype.value]
