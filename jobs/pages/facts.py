"""Facts about a published run, from the documents in its folder: their size does not grow with the number of rows,
except for the manifest, which names every part. Read on the driver.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actors.storage.json_documents import MAX_BYTES, MAX_SMALL_BYTES, parse_object, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from actors.outputs import PublishedRun
    from actors.writing.run_paths import RunPaths


@dataclass(frozen=True)
class Followed:
    """Documents of `jobs.follow` beside the run."""

    rows: Sequence[Mapping[str, Any]]
    """Rows of ``scores.jsonl``."""
    best: Mapping[str, Any]
    """Content of ``best.json``."""


@dataclass(frozen=True)
class RunFacts:
    """The documents of a run, as plain values."""

    paths: RunPaths
    report: Mapping[str, Any]
    record: Mapping[str, Any]
    """Content of ``run.json``."""
    config: Mapping[str, Any]
    num_parts: int
    manifest_sha256: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Content of ``metrics.json``, if `jobs.evaluate` wrote it."""
    labels: Sequence[str] | None = None
    """Names of the classes in order, if they are known."""
    followed: Followed | None = None
    """Scores of all checkpoints of the training, if `jobs.follow` evaluated this one."""

    @property
    def counters(self) -> Mapping[str, int]:
        """The sum of the task's counters over all parts."""
        return dict(self.report.get("counters", {}))

    @property
    def num_listed(self) -> int:
        return int(self.report["num_listed"])

    @property
    def num_ok(self) -> int:
        return int(self.report["num_ok"])

    @property
    def num_errors(self) -> int:
        return int(self.report["num_errors"])

    @property
    def task(self) -> str:
        return str(self.config["task"]["name"])

    @property
    def scores(self) -> Mapping[str, float]:
        """Scores against known labels, by name."""
        return dict(self.metrics.get("metrics") or self.report.get("metrics", {}))


def read_facts(run: PublishedRun) -> RunFacts:
    """Reads the documents of a published run.

    Raises:
        ValueError: one of them is damaged.
        OSError, obstore.exceptions.BaseError: one of them is missing, or cannot be read.
    """
    paths, storage = run.paths, run.storage
    has_metrics = storage.kind(paths.metrics) == "file"
    return RunFacts(
        paths=paths,
        report=read_object(paths.report, storage, allow_nan=True),
        record=read_object(paths.record, storage),
        config=run.config,
        num_parts=len(run.rows) + len(run.errors),
        manifest_sha256=hashlib.sha256(storage.read(paths.manifest, max_bytes=MAX_BYTES)).hexdigest(),
        metrics=read_object(paths.metrics, storage, allow_nan=True) if has_metrics else {},
        labels=run.labels,
        followed=_followed(run),
    )


def _followed(run: PublishedRun) -> Followed | None:
    scores, best = (run.paths.followed(name) for name in ("scores.jsonl", "best.json"))
    if run.storage.kind(best) != "file":
        return None
    lines = run.storage.read(scores, max_bytes=MAX_SMALL_BYTES).splitlines()
    rows = [parse_object(line) for line in lines if line.strip()]
    is_among_them = any(row.get("run_id") == run.run_id for row in rows)
    return Followed(rows, read_object(best, run.storage)) if is_among_them else None
