"""The notebook in the docs runs as written, and its outputs match those of a new run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from notebook_page import PAGE, ROOT, execute


def kinds(cell: nbformat.NotebookNode) -> list[tuple[str, list[str]]]:
    """Returns the kinds of a cell's outputs, each with its stream or its formats."""
    return [(out.output_type, sorted(out.get("data", {})) or [out.get("name", "")]) for out in cell.outputs]


def texts(cell: nbformat.NotebookNode) -> list[str]:
    return [out.data["text/plain"] for out in cell.outputs if "data" in out and "RunResult" not in str(out.data)]


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.cluster
def test_it_runs_without_an_error_and_shows_what_is_stored(tmp_path: Path) -> None:
    stored = code_cells(nbformat.read(PAGE, as_version=4))
    done = code_cells(execute(tmp_path))
    assert len(done) > 8
    for cell, again in zip(stored, done, strict=True):
        assert kinds(again) == kinds(cell), cell.source
        assert texts(again) == texts(cell), cell.source
    shown = " ".join(str(cell.outputs) for cell in done)
    assert "1,797 listed = 1,797 ok + 0 errors" in shown
    assert "2 listed = 1 ok + 1 errors" in shown
    assert "1,797 images" in shown, "progress lines"


def test_what_is_stored_is_whole_and_of_no_machine() -> None:
    notebook = nbformat.read(PAGE, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.execution_count for cell in code_cells(notebook))
    text = PAGE.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert PAGE.stat().st_size < 100_000
