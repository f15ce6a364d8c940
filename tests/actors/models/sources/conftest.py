"""Folders written by transformers and timm, shared by the tests of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hub_folders
import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    hub_folders.vit(folder)
    return folder


@pytest.fixture(scope="session")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timm")
    hub_folders.timm_resnet(folder)
    return folder
