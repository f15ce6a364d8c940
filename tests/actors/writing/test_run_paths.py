from __future__ import annotations

import pytest

from actors.writing.run_paths import RunPaths


@pytest.mark.parametrize("root", ["/data/out", "s3://bucket/out", "s3://bucket/out/"])
def test_the_layout_of_the_contract(root: str) -> None:
    paths = RunPaths(root, "mabc", "r1")
    base = root.rstrip("/")
    assert paths.rows == f"{base}/rows/model=mabc/run=r1"
    assert paths.errors == f"{base}/errors/model=mabc/run=r1"
    assert paths.inventory == f"{base}/runs/r1/inventory"
    assert [paths.config, paths.manifest, paths.report, paths.success] == [
        f"{base}/runs/r1/{name}" for name in ("config.yaml", "manifest.json", "report.json", "_SUCCESS")
    ]
