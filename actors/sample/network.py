"""The network of the sample: two convolutions and three linear layers, from PyTorch's CIFAR-10 tutorial.

A miniature of a user's own model code: the job finds it as ``model.architecture=actors.sample.network:Net``.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    """Maps float32 images of shape (n, 3, 32, 32) to logits of shape (n, ``num_classes``)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)  # 32 pixels a side: 28 after conv1, 14, 10 after conv2, 5
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        hidden = functional.max_pool2d(functional.relu(self.conv1(pixels_nchw)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        hidden = functional.relu(self.fc1(hidden.flatten(start_dim=1)))
        hidden = functional.relu(self.fc2(hidden))
        logits: torch.Tensor = self.fc3(hidden)
        return logits
