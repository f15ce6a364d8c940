"""The model that several tests of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from networks import tiny

from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    return Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"))
