"""Copies pixels to PyTorch's device, and outputs back. On a GPU, copies overlap each other and the network. Used by the
engine for each batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from actors.device_errors import device_errors
from actors.engines.base import Finished
from actors.pixel_arrays import gathered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.engines.base import Pending
    from actors.pixel_arrays import Pixels


class Transfers:
    """Copies to and from ``device``, which is ``cpu`` or ``cuda``.

    PyTorch caches pinned memory, and reuses it only once pending copies are done, so nothing here waits for a copy.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        # On the network's stream, copies would wait for the network.
        self._copies = torch.cuda.Stream() if device == "cuda" else None  # type: ignore[no-untyped-call]  # PyTorch's stubs lack it

    def send(self, pixels_nhwc: Pixels, size: int) -> torch.Tensor:
        """Returns the pixels on the device, padded with blank images up to ``size``; an array may be read-only. A
        tensor that needs no padding is returned unchanged.
        """
        if isinstance(pixels_nhwc, torch.Tensor):
            there = pixels_nhwc.to(self._device)
            padded: torch.Tensor = there if len(there) == size else gathered([there], np.arange(len(there)), size)
            return padded
        # Torch cannot wrap read-only arrays, and asynchronous copies need pinned memory: one copy serves both.
        staged = torch.empty((size, *pixels_nhwc.shape[1:]), dtype=torch.uint8, pin_memory=self._copies is not None)
        np.copyto(staged[: len(pixels_nhwc)].numpy(), pixels_nhwc)
        staged[len(pixels_nhwc) :] = 0
        if self._copies is None:
            return staged
        with torch.cuda.stream(self._copies):
            sent = staged.to("cuda", non_blocking=True)
        present = torch.cuda.current_stream()
        present.wait_stream(self._copies)
        sent.record_stream(present)  # otherwise its memory would be reused while the network reads it
        return sent

    def fetch(self, tensors: Mapping[str, torch.Tensor], num_images: int) -> Pending:
        """Returns the first ``num_images`` of each tensor, available once the device is done; floating-point tensors as
        float32.
        """
        wanted = {name: _plain(tensor[:num_images]) for name, tensor in tensors.items()}
        if self._copies is None:
            return Finished({name: tensor.contiguous().numpy() for name, tensor in wanted.items()})
        copies = {name: _copy(tensor) for name, tensor in wanted.items()}
        # A blocking wait frees the CPU; the default spins.
        done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # PyTorch's stubs lack it
        done.record()
        return _Fetched(copies, done)


@dataclass(frozen=True)
class _Fetched:
    """See `actors.engines.base.Pending`."""

    copies: dict[str, torch.Tensor]
    done: torch.cuda.Event

    @device_errors(torch.OutOfMemoryError)
    def result(self) -> dict[str, np.ndarray]:
        self.done.synchronize()
        # The next batch reuses pinned memory; callers keep the outputs longer.
        return {name: copy.numpy().copy() for name, copy in self.copies.items()}


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """Starts an asynchronous copy to the CPU."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return copy.copy_(tensor, non_blocking=True)
