"""Credentials that expire while a job runs: it stops without error rows, and the same command finishes it."""

from __future__ import annotations

from pathlib import Path

import flaky
import pyarrow.dataset as ds
from photos import jpeg
from s3 import S3


def test_expired_credentials_stop_the_run_and_the_same_command_ends_it(batch_infer, s3: S3, tmp_path: Path) -> None:  # noqa: ANN001
    for number in range(24):
        s3.put(f"expiring/{number:02d}.jpg", jpeg(number, width=40, height=30))
    with flaky.serve(s3.url) as proxy:
        told = (
            "+dataset=images",
            f"dataset.path=s3://{s3.bucket}/expiring",
            *(f"+dataset.storage_options.{name}={value}" for name, value in proxy.options(s3).items()),
            *("model=digits", "output.path=out", "run.shard_size=8", "batch_size=8"),
        )
        refused = [flaky.EXPIRED] * 1000
        proxy.damage("GET /bucket/expiring/17.jpg", *refused)
        done = batch_infer(*told)
        assert done.returncode == 1, done.stderr
        assert f"s3://{s3.bucket}: the credentials are refused: ExpiredToken" in done.stderr
        assert "run the same command again" in done.stderr
        assert not list((tmp_path / "out").glob("errors/**/*.parquet"))
        assert not list((tmp_path / "out").glob("runs/*/_SUCCESS"))
        proxy.mend()
        done = batch_infer(*told)
        assert done.returncode == 0, done.stderr
    rows = ds.dataset(tmp_path / "out" / "rows", partitioning="hive").to_table()
    assert len(set(rows["image_id"].to_pylist())) == len(rows) == 24
