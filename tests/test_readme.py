"""The Python code in the README runs as written, and the README stays short. tests/docs checks links and commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MAX_LINES = 150


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_the_python_lines_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.strip().splitlines()) <= 8
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102  the page's own
    printed = capsys.readouterr().out
    assert "1,797 listed = 1,797 ok + 0 errors" in printed
    assert "digit label" in printed


def test_it_is_a_page_and_not_a_manual() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def test_every_path_that_it_names_is_there() -> None:
    named = re.findall(r"\b(?:jobs|actors|tests|conf|docs|k8s)/[\w/-]+(?:\.\w+)?", README)
    assert len(named) > 10
    missing = [name for name in named if "NAME" not in name and not list(ROOT.glob(f"{name}*"))]
    assert not missing
