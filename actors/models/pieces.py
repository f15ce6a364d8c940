"""Runs a network that accepts only some batch sizes on batches of any size. Used for programs whose batch size was
fixed on export.
"""

from __future__ import annotations

import torch
from torch import nn

from actors.models.outputs import named


class Pieces(nn.Module):
    """Cuts batches into pieces, and pads the last piece with blank images. Returns the outputs of all images by name.

    Args:
        network: accepts one tensor, with one entry per image along its first axis.
        least: minimum number of images.
        most: maximum number of images; at least ``least``.
    """

    def __init__(self, network: nn.Module, least: int, most: int) -> None:
        super().__init__()
        self.network = network
        self.least = least
        self.most = most

    @property
    def sizes(self) -> str:
        """The batch sizes that the network accepts, as text for messages."""
        return f"{self.most}" if self.least == self.most else f"{self.least} to {self.most}"

    @property
    def details(self) -> dict[str, str]:
        """A line for the report."""
        return {"batches": f"cut into pieces of {self.sizes} images: the program was exported for no other size"}

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        parts = [self._run(images[start : start + self.most]) for start in range(0, len(images), self.most)]
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}

    def _run(self, piece: torch.Tensor) -> dict[str, torch.Tensor]:
        num_images = len(piece)
        size = max(num_images, self.least)
        if size > num_images:
            piece = torch.cat([piece, piece.new_zeros(size - num_images, *piece.shape[1:])])
        outputs = named(self.network(piece))
        return {name: out[:num_images] if out.shape[:1] == (size,) else out for name, out in outputs.items()}


def _joined(outputs: list[torch.Tensor]) -> torch.Tensor:
    # The engine omits outputs without an entry per image, such as a loss.
    return torch.cat(outputs) if outputs[0].dim() and len(outputs) > 1 else outputs[0]
