from __future__ import annotations

import pytest
import torch
from torch import nn

from actors.models.pieces import Pieces


class Sizes(nn.Module):
    """Returns the images and a loss, and records the batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        self.seen.append(len(images))
        return {"images": images, "loss": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("least", "most", "sizes"), [(1, 1, [1] * 7), (3, 3, [3, 3, 3]), (1, 4, [4, 3]), (4, 5, [5, 4])]
)
def test_every_image_comes_back_once_and_in_order(least: int, most: int, sizes: list[int]) -> None:
    network = Sizes()
    images = torch.arange(7.0).reshape(7, 1)
    found = Pieces(network, least, most)(images)
    assert torch.equal(found["images"], images)
    assert found["loss"].shape == ()
    assert network.seen == sizes
