"""Pixels on their way to PyTorch's device, and outputs on their way back. On a GPU neither waits for the other, nor for
the network; used by the engine, once for each batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from actors.device_errors import device_errors
from actors.engines.base import Finished

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.engines.base import Pending


class Transfers:
    """To and from ``device``, which is ``cpu`` or ``cuda``.

    PyTorch keeps the pinned memory that is no longer needed, and gives it away again once the copies that were asked of
    it are done. So nothing here waits for a copy.
    """

    def __init__(self, device: str) -> None:
        # Copies that share a stream with the network would be done in turn with it.
        self._copies = torch.cuda.Stream() if device == "cuda" else None  # type: ignore[no-untyped-call]  # PyTorch's stubs lack it

    def send(self, pixels_nhwc: np.ndarray, size: int) -> torch.Tensor:
        """The pixels and blank images up to ``size``, for what runs on the device from now on; they may be read-only,
        and are not kept.
        """
        # Torch cannot wrap read-only arrays, and a GPU takes by itself what is in pinned memory alone: one copy serves
        # both.
        staged = torch.empty((size, *pixels_nhwc.shape[1:]), dtype=torch.uint8, pin_memory=self._copies is not None)
        np.copyto(staged[: len(pixels_nhwc)].numpy(), pixels_nhwc)
        staged[len(pixels_nhwc) :] = 0
        if self._copies is None:
            return staged
        with torch.cuda.stream(self._copies):
            sent = staged.to("cuda", non_blocking=True)
        present = torch.cuda.current_stream()
        present.wait_stream(self._copies)
        sent.record_stream(present)  # else its memory would go to the next copy while the network still reads it
        return sent

    def fetch(self, tensors: Mapping[str, torch.Tensor], num_images: int) -> Pending:
        """The first ``num_images`` of each tensor, as what is there once the work that was begun on the device is done:
        float32 where it is floating.
        """
        wanted = {name: _plain(tensor[:num_images]) for name, tensor in tensors.items()}
        if self._copies is None:
            return Finished({name: tensor.contiguous().numpy() for name, tensor in wanted.items()})
        copies = {name: _copy(tensor) for name, tensor in wanted.items()}
        # Others need the CPU that waiting in a loop would take.
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
        # What was pinned for one batch serves the next; callers keep theirs for longer.
        return {name: copy.numpy().copy() for name, copy in self.copies.items()}


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """In memory of the CPU, as soon as the work before is done."""
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return copy.copy_(tensor, non_blocking=True)
