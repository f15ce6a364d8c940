"""Task ``embed``: one vector per image, or several. Runs in the predictor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.tasks.base import Outputs, Task, check_values, pick_output, vectors
from actors.tasks.parity import Comparison, differences, ratios, spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.engines.tolerance import Tolerance
    from actors.tasks.context import BatchContext
    from actors.tasks.parity import Agreement


class EmbeddingType(Enum):
    """Storage type of the values of an embedding."""

    float32 = "float32"
    float16 = "float16"


class Pool(Enum):
    """Reduction of an output with a vector for each token or position of an image."""

    none = "none"
    cls = "cls"
    mean = "mean"


@dataclass
class Embed(Task):
    """Writes ``embedding``, a fixed-size list; for several outputs, one ``embedding_NAME`` each. A row with a vector
    that is not finite becomes an error row.
    """

    name: str = "embed"
    dtype: EmbeddingType = EmbeddingType.float32
    """float16 halves the output; its relative precision is about 1/1000."""
    normalize: bool = False
    """Divide each vector by its Euclidean length; a zero vector is unchanged."""
    output: Any = None
    """Name of the output with the vector, or a list of names, each of which gets a column; needed only if several
    outputs qualify."""
    pool: Pool = Pool.none
    """Vector to make from an output with one vector per token (n, tokens, length), such as last_hidden_state, or per
    position (n, channels, height, width): cls selects the first token, mean averages all; none expects one vector per
    image.
    """

    def __post_init__(self) -> None:
        coerce_fields(self, "task")
        self.output = list(self.output) if isinstance(self.output, list | tuple) else self.output

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:  # noqa: ARG002
        lengths = {name: self._length(outputs, name) for name in self.output_names(outputs)}
        if not isinstance(self.output, list):
            (length,) = lengths.values()
            return [pa.field("embedding", pa.list_(self._arrow_type(), length))]
        return [pa.field(f"embedding_{name}", pa.list_(self._arrow_type(), length)) for name, length in lengths.items()]

    def output_names(self, outputs: Outputs) -> list[str]:
        if not isinstance(self.output, list):
            return [self._pick(outputs, self.output)]
        if not self.output or len(set(self.output)) < len(self.output):
            raise JobError(
                f"task.output={self.output}: names no output, or one twice", fix=f"choose from {list(outputs.shapes)}"
            )
        return [self._pick(outputs, name) for name in self.output]

    def check(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Accepts everything: any vector may be an embedding."""

    def columns(
        self,
        tensors: Mapping[str, np.ndarray],
        context: BatchContext,  # noqa: ARG002
    ) -> tuple[list[pa.Array], np.ndarray]:
        stored = [self._vectors(tensors[name])[1] for name in self.output_names(Outputs.of(tensors))]
        # Checked in the storage type: float16 ends at 65504.
        valid = np.logical_and.reduce([np.isfinite(own).all(axis=1) for own in stored])
        return [_column(own, self._arrow_type()) for own in stored], valid

    def agreement(
        self, reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: Tolerance
    ) -> Agreement:
        """See `actors.tasks.base.Task`. If a network returns nearly the same vector for all images, the cosine of any
        two is near 1, so the difference of two vectors is also compared with the spread between images.
        """
        comparison = Comparison(tolerance)
        names = self.output_names(Outputs.of(reference))
        if not comparison.has_outputs(reference, candidate, names):
            return comparison.result
        for name in names:
            (wanted, kept), (given, given_kept) = (self._vectors(tensors[name]) for tensors in (reference, candidate))
            places = comparison.finite(name, np.isfinite(kept).all(axis=1), np.isfinite(given_kept).all(axis=1))
            if len(places):
                shown = f"output {name}: " if len(names) > 1 else ""
                _compare(comparison, places, wanted[places], given[places], shown)
        return comparison.result

    def counts(self, table: pa.Table) -> dict[str, int]:  # noqa: ARG002
        return {}

    def identity(self) -> dict[str, Any]:
        """See `actors.tasks.base.Task`. Without pooling, equals the identity from versions before there was any."""
        fields = super().identity()
        return fields if self.pool is not Pool.none else {key: fields[key] for key in fields if key != "pool"}

    def _pick(self, outputs: Outputs, wanted: Any) -> str:
        """Returns the name of the output that ``wanted`` names, or of the only one that fits. Raises `JobError`."""
        if wanted is not None and not isinstance(wanted, str):
            raise JobError(f"task.output={wanted!r}: not a name", fix=f"choose from {list(outputs.shapes)}")
        poolable = [name for name, shape in outputs.shapes.items() if len(shape) in _AXES[self.pool]]
        if wanted in poolable:
            check_values(outputs, wanted)
            return wanted
        if self.pool is Pool.none and _is_poolable(outputs.shapes.get(wanted or "", ())):
            raise JobError(
                f"task.output={wanted}: task=embed needs one vector per image, and the model gives {outputs}",
                fix="set task.pool=cls or mean, or choose task=raw, which takes outputs of any shape",
            )
        if self.pool is Pool.none or wanted in outputs.shapes:
            return pick_output(outputs, wanted, task="embed")
        if wanted is not None or len(poolable) != 1:
            raise JobError(
                f"task.pool={self.pool.value}: needs an output with one vector for each token or place, and the "
                f"model gives {outputs}",
                fix=f"set task.output to one of {poolable}" if poolable else "omit task.pool",
            )
        check_values(outputs, poolable[0])
        return poolable[0]

    def _length(self, outputs: Outputs, name: str) -> int:
        """Returns the length of the vectors of an output."""
        shape = outputs.shapes[name]
        if len(shape) in _AXES[self.pool]:
            return shape[-1] if len(shape) == _TOKENS else shape[0]
        return math.prod(shape)

    def _vectors(self, tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the vectors of an output, in float32 and in the storage type."""
        whole = vectors(self._pooled(tensor))
        if self.normalize:
            lengths = np.linalg.norm(whole, axis=1, keepdims=True)
            whole = (whole / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        with np.errstate(over="ignore"):  # values too large for float16 become inf, which callers check
            return whole, whole.astype(self.dtype.value)

    def _pooled(self, tensor: np.ndarray) -> np.ndarray:
        if tensor.ndim - 1 not in _AXES[self.pool]:
            return tensor
        if self.pool is Pool.cls:
            return tensor[:, 0]
        # In float32, even for half-precision outputs.
        return np.asarray(tensor.mean(axis=1 if tensor.ndim - 1 == _TOKENS else (2, 3), dtype=np.float32))

    def _arrow_type(self) -> pa.DataType:
        return {"float32": pa.float32(), "float16": pa.float16()}[self.dtype.value]


_TOKENS, _PLACES = 2, 3  # axes after the first: tokens and length, or channels, height and width
_AXES: dict[Pool, tuple[int, ...]] = {Pool.none: (), Pool.cls: (_TOKENS,), Pool.mean: (_TOKENS, _PLACES)}


def _is_poolable(shape: tuple[int, ...]) -> bool:
    return len(shape) in _AXES[Pool.mean] and sum(length != 1 for length in shape) > 1


def _column(stored: np.ndarray, value: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel(), value), stored.shape[1])


def _compare(comparison: Comparison, places: np.ndarray, wanted: np.ndarray, given: np.ndarray, shown: str) -> None:
    """Compares vectors (n, length) of the images at ``places``; messages begin with ``shown``."""
    # In float64: near 1, float32 has steps of 6e-8.
    cosines = _cosines(wanted.astype(np.float64), given.astype(np.float64))
    message = f"{shown}the vectors of image {places[cosines.argmin()]} have a cosine of {cosines.min():.6g}"
    comparison.at_least("cosine", cosines.min(), message)
    comparison.note("mean_cosine", cosines.mean())
    errors = ratios(differences(wanted, given), spread(wanted))
    vector = f"{shown}the vector of image {places[errors.argmax()]}"
    message = f"{vector} is off by {errors.max():.3g} of the spread between images"
    comparison.at_most("output_error", errors.max(), message)


def _cosines(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Returns the cosine of each pair: 1 for two zero vectors, 0 if only one is zero."""
    products = np.linalg.norm(wanted, axis=1) * np.linalg.norm(given, axis=1)
    alike = (wanted == given).all(axis=1)
    return np.where(alike, 1.0, ratios((wanted * given).sum(axis=1), products))
