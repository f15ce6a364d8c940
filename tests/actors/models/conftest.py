"""The model and the hub shared by tests of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest
import torch
from hub import Hub, serve_hub
from networks import tiny

from actors.models.spec import Model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    return Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Yields a hub on loopback that Hugging Face's library uses, with empty caches."""
    with serve_hub() as hub:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
        yield hub
