"""Turns parts into a published run: reads the footers, selects files that cover each row once, and writes the manifest.
Runs on the driver before and after the pipeline. Its only input is storage, so it can be repeated at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.errors import OutputError
from actors.fault_injection import fault
from actors.messages import one_line, redacted, write_problem, writing_to
from actors.row_ranges import count
from actors.storage.local_files import STAGED_NAME
from actors.storage.uris import name_below
from actors.writing.part_writer import write_no_errors
from actors.writing.parts import Part, digest_of, find_parts
from actors.writing.summaries import total
from jobs.runs.coverage import Coverage, StrangeRowsError
from jobs.runs.decode_switch import is_withdrawn, read_switches, switched_shards
from jobs.runs.readable import check_readable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy as np

    from actors.storage.store import Storage
    from actors.writing.receipts import Receipt
    from actors.writing.run_paths import RunPaths
    from actors.writing.summaries import Summary


LOG = logging.getLogger("shardlens")


class IncompleteRunError(Exception):
    """Rows of the inventory have no outcome, so the run cannot be published."""


@dataclass(frozen=True)
class Outcome:
    """Valid parts of a run, which hold each row at most once, and their totals."""

    rows: Sequence[Part]
    errors: Sequence[Part]
    leftover: Sequence[Part]
    """Damaged files, duplicates of rows in other files, and files from a GPU that decoded incorrectly; `publish`
    deletes them."""
    coverage: Coverage
    summary: Summary

    def standing_in(self, later: Outcome) -> Outcome:
        """Returns this outcome with the totals of only the files that are still valid in ``later``."""
        # Files can become invalid during a run: see `decode_switch`.
        still = {part.uri for part in (*later.rows, *later.errors)}
        return replace(self, summary=_total(self.rows, self.errors, uris=still, coverage=self.coverage))


def collect(
    paths: RunPaths,
    storage: Storage,
    shard_sizes: np.ndarray,
    *,
    own: np.ndarray | None = None,
    before: Outcome | None = None,
) -> Outcome:
    """Reads the footers of the run's files and determines which rows have an outcome.

    Args:
        paths: paths of the run.
        storage: storage of the run.
        shard_sizes: number of rows of each shard of the inventory.
        own: mask as in `Coverage`; the summary covers the files with rows of any of these shards.
        before: an earlier outcome of this run, whose valid files are not read again.

    Raises:
        StrangeRowsError: an intact file claims rows that the inventory does not list.
    """
    known = {part.uri: part for part in (*before.rows, *before.errors)} if before else {}
    rows, errors = find_parts(paths.rows, storage, known), find_parts(paths.errors, storage, known)
    coverage = Coverage(shard_sizes, own)
    # Largest first: of overlapping files, this keeps the one that would take longest to redo.
    ordered = sorted((*rows, *errors), key=lambda part: (-_num_rows(part), part.uri))
    _log_damaged(ordered, before)
    switched = switched_shards(read_switches(paths, storage), len(shard_sizes))
    standing = [part for part in ordered if not is_withdrawn(part, switched)]
    kept = {part.uri for part in standing if _is_taken(part, coverage, storage)}
    return Outcome(
        [part for part in rows if part.uri in kept],
        [part for part in errors if part.uri in kept],
        [part for part in ordered if part.uri not in kept],
        coverage,
        _total(rows, errors, uris=kept, coverage=coverage),
    )


def _total(rows: Sequence[Part], errors: Sequence[Part], *, uris: Collection[str], coverage: Coverage) -> Summary:
    """Sums the receipts of the parts at ``uris`` with rows of any of this driver's shards."""
    receipts = (part.receipt for part in (*rows, *errors) if part.receipt and part.uri in uris)
    return total(receipt.summary for receipt in receipts if coverage.concerns(receipt.ranges))


def publish(outcome: Outcome, paths: RunPaths, storage: Storage, about: Mapping[str, Any]) -> None:
    """Deletes leftover files, writes the manifest, and finally ``_SUCCESS``. If there are no errors, also writes an
    error file without rows.

    Args:
        outcome: returned by `collect` for all shards.
        paths: paths of the run.
        storage: storage of the run.
        about: keys of the manifest besides the parts.

    Raises:
        IncompleteRunError: a row has no outcome.
        UnreadableRunError: the files in the folders do not match the manifest.
    """
    coverage = outcome.coverage
    if num_missing := coverage.num_missing + coverage.num_missing_elsewhere:
        first = "; ".join(str(piece) for piece in coverage.missing(limit=3)) or "of other slices"
        raise IncompleteRunError(f"{num_missing:,} images have no outcome ({first}); nothing was published")
    fault("commit.collected")
    # Deleted before publication, because readers of the folder see every Parquet file in it.
    leftover = [*(part.uri for part in outcome.leftover), *_half_written(paths, storage)]
    with writing_to(paths.run):
        storage.delete(leftover)
    fault("commit.cleaned")
    if not outcome.errors:
        outcome = replace(outcome, errors=[write_no_errors(paths, storage, about)])
    fault("commit.errors")
    manifest = _manifest(outcome, about)
    # Checked before any document is written, so that a run that readers would misread can still be resumed.
    check_readable(manifest, coverage.num_listed_everywhere, paths, storage)
    write_document(paths.manifest, json.dumps(manifest, indent=1).encode(), storage)
    fault("commit.manifest")
    # Written last: from here on, readers, later runs and `jobs.verify` consider the run complete.
    write_document(paths.success, b"", storage)
    fault("commit.success")


def write_document(uri: str, data: bytes, storage: Storage) -> None:
    """Writes one of the run's documents. Raises `OutputError`, which names it, if storage rejects it."""
    try:
        storage.write(uri, data)
    except (OSError, BaseError) as error:
        problem = f"{redacted(uri)}: cannot be written: {one_line(error)}; run the same command again once storage "
        raise OutputError(write_problem(error, uri) or f"{problem}accepts it: no image is predicted twice") from error


def _log_damaged(parts: Sequence[Part], before: Outcome | None) -> None:
    """Logs each damaged part, once per command."""
    logged = {part.uri for part in before.leftover} if before else set()
    for part in parts:
        if part.damage and part.uri not in logged:
            LOG.warning("%s: damaged (%s); ignoring it and redoing its rows", part.uri, part.damage)


def _is_taken(part: Part, coverage: Coverage, storage: Storage) -> bool:
    try:
        return part.receipt is not None and coverage.take(part.receipt.ranges)
    except StrangeRowsError:
        # Reads the whole file, only in this rare case. If intact, it proves that it was made from another inventory.
        if hashlib.sha256(storage.read(part.uri)).hexdigest().startswith(digest_of(part.uri)):
            raise
        LOG.warning("%s: damaged (claims rows that the inventory does not list); ignoring it", part.uri)
        return False


def _half_written(paths: RunPaths, storage: Storage) -> list[str]:
    """Returns staged documents left behind by killed drivers. Skips slice reports, which may still be in progress."""
    if storage.kind(paths.run) is None:
        return []
    uris = [uri for batch in storage.list(paths.run) for uri in batch["uri"].to_pylist()]
    names = [_BELOW.sub("", name_below(paths.run, uri)) for uri in uris]
    return [uri for uri, name in zip(uris, names, strict=True) if "/" not in name and STAGED_NAME.fullmatch(name)]


_BELOW = re.compile(r"(?:inventory|decode_switches)/")


def _num_rows(part: Part) -> int:
    return part.receipt.summary.num_images if part.receipt else 0


def _manifest(outcome: Outcome, about: Mapping[str, Any]) -> dict[str, Any]:
    summary = outcome.summary
    return {
        **about,
        "committed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "num_listed": summary.num_images,
        "num_ok": summary.num_ok,
        "num_errors": summary.num_errors,
        "rows": [_describe(part, part.receipt) for part in outcome.rows if part.receipt],
        "errors": [_describe(part, part.receipt) for part in outcome.errors if part.receipt],
    }


def _describe(part: Part, receipt: Receipt) -> dict[str, Any]:
    name = part.uri.rpartition("/")[2]
    return {
        "file": name,
        "num_rows": count(receipt.ranges),
        "size_bytes": part.size_bytes,
        "digest": digest_of(name),
        "ranges": {str(shard): runs for shard, runs in receipt.ranges.items()},
    }
