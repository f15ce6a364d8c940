"""The recipes in docs/outputs.md run as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from places import local_place
from published import PublishedRun

PAGE = Path(__file__).parents[2] / "docs" / "outputs.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("place", range(1, len(BLOCKS)), ids=lambda place: BLOCKS[place].split("\n")[0][:40])
def test_each_recipe_runs_after_the_first(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("polars", "datasets", "pandas"):
        if f"import {package}" in BLOCKS[place] or f"to_{package}" in BLOCKS[place]:
            pytest.importorskip(package)
    if "to_hugging_face" in BLOCKS[place]:
        pytest.importorskip("datasets")
    output = local_place(tmp_path / "outputs" / "sample")
    PublishedRun("b").put(output)
    later = PublishedRun("a", names=[["x", "a"], ["f"]], bad=[(1, 0)], cut=[2])
    later.edit("manifest.json", lambda content: content.update(committed_at="2026-02-02T03:04:05.678+00:00"))
    later.put(output)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in (BLOCKS[0], BLOCKS[place]):
        exec(code, names)  # noqa: S102  the page's own


def test_there_are_recipes_for_every_tool() -> None:
    for tool in ("to_pandas", "to_duckdb", "to_arrow", "to_polars", "to_hugging_face", "to_torch", "read_parquet"):
        assert any(tool in block for block in BLOCKS)
