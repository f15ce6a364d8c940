"""Keeps an evaluation from changing the training around it. Runs in the training process."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restores the random state of Python, NumPy and PyTorch on the CPU and the current GPU, and the number of threads.
    Disables the caller's autocast and inference mode inside the block.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the training's own
    threads = torch.get_num_threads()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    try:
        with (
            torch.random.fork_rng(devices),
            torch.inference_mode(mode=False),
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_num_threads(threads)
