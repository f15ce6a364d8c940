"""A network, and the recipe of an .onnx file that a test makes from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from networks import tiny
from onnx_models import SIDE
from torch import nn

from actors.models.spec import Model
from actors.preprocess import Preprocess


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return tiny().eval()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.onnx"


@pytest.fixture
def model(path: Path) -> Model:
    """Returns a recipe; the test writes its file."""
    return Model(checkpoint=str(path), preprocess=Preprocess(resize=SIDE, crop=SIDE))
