"""What a job publishes is proven by code that knows nothing of the job's, and refuted once a bit of it is another."""

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
    digests = []
    # An engine always gets whole batches, so that no score depends on how images are cut into shards.
    for output, cut in (("one", "run.shard_size=7"), ("other", "run.shard_size=20")):
        job = ["+dataset=images", "dataset.path=images", "model=digits", "batch_size=8", "run.id=r", cut]
        ended = batch_infer(*job, f"output.path={output}", "output.rows_per_part=10")
        assert ended.returncode == 0, ended.stderr
        proof = verify(tmp_path / output)
        assert proof.returncode == 0, proof.stdout
        found = re.match(
            r"run r: proven: 31 listed = 30 ok \+ 1 errors; \d parts; rows digest (\w{32})\n", proof.stdout
        )
        assert found, proof.stdout
        digests.append(found[1])
    assert digests[0] == digests[1]

    part = next((tmp_path / "one/rows").rglob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    proof = verify(tmp_path / "one")
    assert proof.returncode == 1
    assert f"run r: wrong digest: {part.relative_to(tmp_path / 'one')}: " in proof.stdout
    assert proof.stdout.splitlines()[-1].startswith("refuted: ")
