"""The Python code in docs/getting-started.md runs as written, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "getting-started.md"


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_its_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "actors").symlink_to(ROOT / "actors")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(code, names)  # noqa: S102  the page's own
    assert names["result"].rows.to_arrow()["label"].to_pylist() == ["7"]
    assert names["table"]["label"].to_pylist() == ["7"]
    assert capsys.readouterr().err.splitlines()[-1].startswith("1 images, 0 errors")
