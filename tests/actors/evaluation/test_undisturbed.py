from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from actors.evaluation.undisturbed import undisturbed


def draw() -> list[float]:
    return [float(torch.rand(1)), random.random(), float(np.random.rand())]  # noqa: NPY002, S311


def fail(drawn: list[float], threads: int) -> None:
    with undisturbed():
        drawn += draw()
        torch.set_num_threads(threads)
        raise KeyError


def test_random_numbers_and_threads_are_restored_after_an_error() -> None:
    threads = torch.get_num_threads()
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(3)
    drawn: list[float] = []
    with pytest.raises(KeyError):
        fail(drawn, threads + 1)
    assert draw() == drawn
    assert torch.get_num_threads() == threads
