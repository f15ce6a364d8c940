"""Spreads an evaluation over the processes of `torch.distributed`. Without it, there is one process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Ranks:
    """The number of this process, and of all of them. Every process must make the same calls."""

    rank: int
    total: int

    def take_from_first(self, network: torch.nn.Module) -> None:
        """Copies weights and buffers of the first rank to all: the buffers of batch normalisation differ by rank, and
        a checkpoint has those of the first.
        """
        if self.total == 1:
            return
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        for value in network.state_dict().values():
            if isinstance(value, torch.Tensor):
                sent = value.to(device).contiguous()
                distributed.broadcast(sent, src=0)
                value.copy_(sent)

    def gather(self, own: Any) -> list[Any]:
        """The objects of all ranks, in their order."""
        gathered: list[Any] = [own] * self.total
        if self.total > 1:
            distributed.all_gather_object(gathered, own)
        return gathered


def current_ranks() -> Ranks:
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return Ranks(0, 1)
