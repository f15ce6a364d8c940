"""Published runs are verified by independent code, and rejected after one flipped bit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from photos import write_photos


def verify(output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.verify", f"output.path={output}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_job_is_proven_and_a_turned_bit_refutes_it(batch_infer, tmp_path: Path) -> None:  # noqa: ANN001
    write_photos(tmp_path / "images", 30, width=40, height=30)
    (tmp_path / "images/broken.jpg").write_bytes(b"\xff\xd8 no image")
    ended = batch_infer("+dataset=images", "dataset.path=images", "model=digits", "run.id=r", "output.path=one")
    assert ended.returncode == 0, ended.stderr
    proof = verify(tmp_path / "one")
    assert proof.returncode == 0, proof.stdout
    said = r"run r: proven: 31 listed = 30 ok \+ 1 errors; \d parts; rows digest \w{32}\n"
    assert re.match(said, proof.stdout), proof.stdout

    part = next((tmp_path / "one/rows").rglob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    proof = verify(tmp_path / "one")
    assert proof.returncode == 1
    assert f"run r: wrong digest: {part.relative_to(tmp_path / 'one')}: " in proof.stdout
    assert proof.stdout.splitlines()[-1].startswith("refuted: ")
