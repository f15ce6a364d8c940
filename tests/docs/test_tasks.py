"""The embedding search in docs/tasks.md finds the nearest images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tasks.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Vectors of unit length, published in two parts like those of a run."""
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, part in enumerate(np.split(vectors, 2)):
        folder = tmp_path / "predictions" / "rows" / "model=m0" / f"run={number}"
        folder.mkdir(parents=True)
        column = pa.FixedSizeListArray.from_arrays(part.ravel(), 8)
        uris = [f"{20 * number + place}.jpg" for place in range(20)]
        pq.write_table(pa.table({"uri": uris, "embedding": column}), folder / "part-0.parquet")
    monkeypatch.chdir(tmp_path)
    return vectors


def run(marker: str) -> dict[str, Any]:
    """Returns the names defined by the first block of code and the one with ``marker``."""
    names: dict[str, Any] = {}
    (block,) = [block for block in BLOCKS if marker in block]
    for code in (BLOCKS[0], block):
        exec(code, names)  # noqa: S102  the page's own
    return names


def nearest(vectors: np.ndarray) -> list[int]:
    return np.argsort(-(vectors @ vectors[0]))[:10].tolist()


def test_numpy(rows: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("argsort")["nearest"].tolist() == nearest(rows)
    assert capsys.readouterr().out.startswith("['0.jpg', ")


def test_faiss(rows: np.ndarray) -> None:
    pytest.importorskip("faiss")
    assert run("faiss")["nearest"][0].tolist() == nearest(rows)


def test_lancedb(rows: np.ndarray) -> None:
    pytest.importorskip("lancedb")
    found = run("lancedb")["found"]
    assert found["uri"].to_pylist() == [f"{place}.jpg" for place in nearest(rows)]
