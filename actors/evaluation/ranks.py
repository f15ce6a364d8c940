"""Distributes an evaluation over the processes of `torch.distributed`; without it, there is one process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True)
class Ranks:
    """The number of this process, and the number of processes. Every process must make the same calls."""

    rank: int
    total: int

    def take_from_first(self, network: torch.nn.Module) -> None:
        """Copies the first rank's weights and buffers to all ranks: batch normalisation buffers differ by rank, and a
        checkpoint contains the first rank's.
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
        """Returns the objects of all ranks, in rank order."""
        gathered: list[Any] = [own] * self.total
        if self.total > 1:
            distributed.all_gather_object(gathered, own)
        return gathered


def current_ranks() -> Ranks:
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return Ranks(0, 1)
