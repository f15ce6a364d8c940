"""The last layer of a zero-shot classifier: text vectors that represent classes. Used on the driver and in workers;
does not import PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TextHead:
    """Scores images against texts: ``scale`` * cosine + ``bias``, then a sigmoid or a softmax."""

    vectors: np.ndarray
    """One unit vector per class, float32 (classes, length)."""
    scale: float
    bias: float
    is_sigmoid: bool
    digest: str
    """SHA-256 of everything that determines the vectors."""

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits, float32 (n, classes), for image vectors, float32 (n, length), of any Euclidean length."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # callers detect non-finite values
            unit = images / np.linalg.norm(images, axis=1, keepdims=True)
            return np.asarray(self.scale * (unit @ self.vectors.T) + self.bias, np.float32)

    def save(self, path: Path) -> None:
        """Writes an .npz file."""
        np.savez(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> TextHead:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                file["vectors"],
                float(file["scale"]),
                float(file["bias"]),
                bool(file["is_sigmoid"]),
                str(file["digest"]),
            )
