"""Shapes of outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from actors.errors import JobError
from actors.models.output_shapes import uncounted

if TYPE_CHECKING:
    pass


@pytest.mark.parametrize("shape", [(), (1,), (3, 2), (0, 4)])
def test_an_output_must_count_the_images(shape: tuple[int, ...]) -> None:
    assert uncounted({"first": np.zeros((2, 5)), "second": torch.zeros(2)}, 2) == {}
    for output in (np.zeros(shape), torch.zeros(shape)):
        assert uncounted({"first": np.zeros((2, 5)), "second": output}, 2) == {"second": shape}
        with pytest.raises(JobError, match=r"the model's output second has shape \(.*\) for 2 images"):
            uncounted({"second": output}, 2)
