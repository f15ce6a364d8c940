"""Task ``embed``: one vector per image. Runs in the predictor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.field_types import coerce_fields
from actors.tasks.base import Outputs, Task, pick_output, vectors
from actors.tasks.parity import Comparison, differences, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement


class EmbeddingType(Enum):
    """Storage type of the numbers of an embedding."""

    float32 = "float32"
    float16 = "float16"


@dataclass
class Embed(Task):
    """Writes ``embedding``, a fixed-size list. A row whose vector is not finite becomes an error row."""

    name: str = "embed"
    dtype: EmbeddingType = EmbeddingType.float32
    """float16 halves the output; its relative precision is about 1/1000."""
    normalize: bool = False
    """Divide each vector by its Euclidean length; a vector of zeros stays unchanged."""
    output: str | None = None
    """Name of the output with the vector; needed only where several could be meant."""

    def __post_init__(self) -> None:
        coerce_fields(self, "task")

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        output = pick_output(outputs, self.output, task="embed")
        return [pa.field("embedding", pa.list_(self._arrow_type(), math.prod(outputs.shapes[output])))]

    def output_names(self, outputs: Outputs) -> list[str]:
        return [pick_output(outputs, self.output, task="embed")]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Accepts everything: any vector may be an embedding."""

    def columns(
        self,
        tensors: Mapping[str, np.ndarray],
        context: BatchContext,  # noqa: ARG002
    ) -> tuple[list[pa.Array], np.ndarray]:
        output = pick_output(Outputs.of(tensors), self.output, task="embed")
        _, stored = self._vectors(tensors[output])
        values = pa.array(stored.ravel(), self._arrow_type())
        valid = np.isfinite(stored).all(axis=1)  # in the storage type: float16 ends at 65504
        return [pa.FixedSizeListArray.from_arrays(values, stored.shape[1])], valid

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. The cosine alone is near 1 for any two images where a network gives all of them
        nearly the same vector, so the difference of two vectors counts against the spread between images, too.
        """
        comparison = Comparison(tolerance)
        output = pick_output(Outputs.of(reference), self.output, task="embed")
        if not comparison.has_outputs(reference, candidate, [output]):
            return comparison.result
        (wanted, kept), (given, given_kept) = (self._vectors(tensors[output]) for tensors in (reference, candidate))
        places = comparison.finite(output, np.isfinite(kept).all(axis=1), np.isfinite(given_kept).all(axis=1))
        if len(places):
            _compare(comparison, places, wanted[places], given[places])
        return comparison.result

    def counts(self, table: pa.Table) -> dict[str, int]:  # noqa: ARG002
        return {}

    def _vectors(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of an output, in float32 and in the storage type."""
        whole = vectors(tensor)
        if self.normalize:
            lengths = np.linalg.norm(whole, axis=1, keepdims=True)
            whole = (whole / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        with np.errstate(over="ignore"):  # what float16 cannot hold becomes inf, which callers check
            return whole, whole.astype(self.dtype.value)

    def _arrow_type(self) -> pa.DataType:
        return {"float32": pa.float32(), "float16": pa.float16()}[self.dtype.value]


def _compare(comparison: Comparison, places: np.ndarray, wanted: np.ndarray, given: np.ndarray) -> None:
    """Compares vectors (n, length) of the images at ``places``."""
    # In float64: next to 1, float32 has steps of 6e-8.
    cosines = _cosines(wanted.astype(np.float64), given.astype(np.float64))
    message = f"the vectors of image {places[cosines.argmin()]} have a cosine of {cosines.min():.6g}"
    comparison.at_least("cosine", cosines.min(), message)
    comparison.note("mean_cosine", cosines.mean())
    errors = ratios(differences(wanted, given), spread(wanted))
    message = f"the vector of image {places[errors.argmax()]} is off by {errors.max():.3g} of the spread between images"
    comparison.at_most("output_error", errors.max(), message)


def _cosines(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Cosine of each pair: 1 for two vectors of zeros, 0 where only one is zero."""
    products = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    alike = (wanted == given).all(axis=1)
    return np.where(alike, 1.0, ratios((wanted * given).sum(axis=1), products))
