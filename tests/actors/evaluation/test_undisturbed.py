from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from actors.evaluation.undisturbed import undisturbed


def draw() -> list[float]:
    return [float(torch.rand(1)), random.random(), float(np.random.rand())]  # noqa: NPY002, S311


def test_random_numbers_and_threads_are_restored_after_an_error() -> None:
    threads = torch.get_num_threads()
    for seed in (torch.manual_seed, random.seed, np.random.seed):  # noqa: NPY002
        seed(3)
    with pytest.raises(KeyError), undisturbed():
        drawn = draw()
        torch.set_num_threads(threads + 1)
        raise KeyError
    assert draw() == drawn
    assert torch.get_num_threads() == threads
