"""A job that starts with a slower engine: a faster engine takes over while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import torch
import wrong_guess
from photos import write_photos

from actors.storage.store import Storage
from actors.writing.receipts import PROVENANCE_KEY
from jobs.verification.findings import Status
from jobs.verification.output_files import list_output
from jobs.verification.run_check import verify_run


def test_a_wrong_first_guess_is_replaced_while_the_job_works(cluster: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "images", 1500, width=32, height=32)
    torch.save({"fc.weight": torch.randn(10, 3), "fc.bias": torch.zeros(10)}, tmp_path / "eager.pt")
    overrides = (
        "+dataset=images", "dataset.path=images", "model.architecture=networks:Eager", "+model.kwargs.num_classes=10",
        "model.checkpoint=eager.pt", "output.path=out", "batch_size=8",
    )  # fmt: skip
    ours = [sys.executable, "-m", "wrong_guess", f"cluster.address={cluster}", *overrides]
    variables = {**os.environ, "PYTHONPATH": str(Path(wrong_guess.__file__).parent)}
    done = subprocess.run(ours, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert "times as fast as torch bf16 on 32 images of the dataset, and agrees: continuing with it" in done.stderr
    run, output = Path(done.stdout.splitlines()[-1]), tmp_path / "out"
    engines: Counter[str] = Counter()
    for part in (output / "rows").rglob("*.parquet"):
        footer = pq.read_metadata(part)
        engines[json.loads(footer.metadata[PROVENANCE_KEY])["engine"]] += footer.num_rows
    assert set(engines) == {"torch bf16", "openvino fp32"}
    assert engines.total() == 1500
    verdict = verify_run(list_output(str(output), Storage()), run.name, wants_digest=False)
    assert (verdict.status, len(verdict.findings)) == (Status.proven, 0)
    choice = json.loads((run / "report.json").read_text())["execution"]["choice"]
    assert [trial["engine"] for trial in choice["trials"]] == ["torch fp32", "torch bf16", "openvino fp32"]
    assert choice["why"] == "the fastest of 3, tried during the run, on 32 images of the dataset"
    [kept] = (output / "_engines").glob("*.json")
    assert json.loads(kept.read_text())["engine"]["name"] == "openvino"
