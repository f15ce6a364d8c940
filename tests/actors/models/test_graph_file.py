from __future__ import annotations

from pathlib import Path

from actors.models.graph_file import GraphFile


def test_a_file_is_the_users_own_unless_it_says_otherwise() -> None:
    file = GraphFile(Path("a.onnx"), "fp32")
    assert not file.is_exported
    assert not file.mixes_images
