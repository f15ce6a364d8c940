"""A graph that an engine opens by path. Made where an engine is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class GraphFile:
    """An ONNX model or an OpenVINO IR on this machine; its other files are in the same folder."""

    path: Path
    precision: str
    """The format of most weights: fp32, fp16, bf16 or int8."""
    mixes_images: bool = False
    """True if an image's answer depends on the rest of its batch, so that each image must run alone."""
    is_exported: bool = False
    """True if it was made from a network, and is kept in the export cache."""
    takes_pixels: bool = False
    """True if its input accepts the pipeline's pixels, because the graph contains the rest of the pre-processing."""
