"""Where everything of a run lies below `output.path`. Used by the sink on workers and by the driver.

rows/model=<fingerprint>/run=<run id>/part-*.parquet     errors/ the same
runs/<run id>/{inventory/, {slices,decode_switches}/*.json, config.yaml, {run,manifest,report}.json, _SUCCESS}
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from actors.storage.uris import join

PART_NAME = re.compile(r"part-\d{6,}-[0-9a-f]{32}\.parquet")
"""The names of parts, which end in half of the SHA-256 of the file. No other file counts."""


@dataclass(frozen=True)
class RunPaths:
    """URIs of one run.

    Args:
        root: `output.path`, absolute.
        fingerprint: what names the model's partition.
        run_id: what names the run's partition and folder.
    """

    root: str
    fingerprint: str
    run_id: str

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

    def slice_report(self, index: int, count: int) -> str:
        """That of one of several drivers."""
        return join(self.run, "slices", f"{index}-of-{count}.json")

    @property
    def decode_switches(self) -> str:
        """The folder in which drivers say that GPUs decode no more; see `jobs.runs.decode_switch`."""
        return join(self.run, "decode_switches")

    @property
    def config(self) -> str:
        return join(self.run, "config.yaml")

    @property
    def success(self) -> str:
        return join(self.run, "_SUCCESS")
