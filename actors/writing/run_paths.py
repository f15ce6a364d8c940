"""Paths of a run below `output.path`. Used on driver and workers.

rows/model=<fingerprint>/run=<run id>/part-*.parquet     errors/ the same, or empty-*.parquet without rows
runs/<run id>/{inventory/, {slices,decode_switches}/*.json, config.yaml, report.html, *.json, _SUCCESS, comparisons/}
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from actors.storage.uris import join

PART_NAME = re.compile(r"(?:part|empty)-\d{6,}-[0-9a-f]{32}\.parquet")
"""Part names, which end with half of the file's SHA-256. Other files are ignored."""


@dataclass(frozen=True)
class RunPaths:
    """URIs of one run.

    Args:
        root: `output.path`, absolute.
        fingerprint: name of the model's partition.
        run_id: name of the run's partition and folder.
    """

    root: str
    fingerprint: str
    run_id: str

    # Names of the form key=value: pyarrow, Spark and DuckDB read them as partition columns.
    @property
    def rows(self) -> str:
        return join(self.root, "rows", f"model={self.fingerprint}", f"run={self.run_id}")

    @property
    def errors(self) -> str:
        return join(self.root, "errors", f"model={self.fingerprint}", f"run={self.run_id}")

    @property
    def run(self) -> str:
        return join(self.root, "runs", self.run_id)

    @property
    def inventory(self) -> str:
        return join(self.run, "inventory")

    @property
    def record(self) -> str:
        return join(self.run, "run.json")

    @property
    def manifest(self) -> str:
        return join(self.run, "manifest.json")

    @property
    def report(self) -> str:
        return join(self.run, "report.json")

    @property
    def page(self) -> str:
        """URI of the human-readable report, with pictures."""
        return join(self.run, "report.html")

    @property
    def metrics(self) -> str:
        """URI of the scores against known labels, from `python -m jobs.evaluate`."""
        return join(self.run, "metrics.json")

    def followed(self, name: str) -> str:
        """A document of `python -m jobs.follow`, whose runs evaluate the checkpoints of a training."""
        return join(self.root, "follow", name)

    def comparison(self, other: str) -> str:
        """Returns the folder of the comparison of run ``other`` with this one, from `python -m jobs.compare`."""
        return join(self.run, "comparisons", other)

    def slice_report(self, index: int, count: int) -> str:
        """Returns the report of driver ``index`` of the ``count`` that share the run."""
        return join(self.run, "slices", f"{index}-of-{count}.json")

    @property
    def decode_switches(self) -> str:
        """Folder of the drivers' records that GPU decoding is off; see `jobs.runs.decode_switch`."""
        return join(self.run, "decode_switches")

    @property
    def config(self) -> str:
        return join(self.run, "config.yaml")

    @property
    def success(self) -> str:
        return join(self.run, "_SUCCESS")
