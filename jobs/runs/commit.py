"""From parts to a published run: what the footers prove, which files stand, and the manifest. Runs on the driver
before and after the pipeline; it trusts storage alone, so it can be run again at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError

from actors.errors import OutputError
from actors.fault_injection import fault
from actors.messages import one_line, redacted, write_problem, writing_to
from actors.row_ranges import count
from actors.storage.local_files import STAGED_NAME
from actors.storage.uris import name_below
from actors.writing.summaries import total
from jobs.runs.coverage import Coverage, StrangeRowsError
from jobs.runs.decode_switch import is_withdrawn, read_switches, switched_shards
from jobs.runs.parts import Part, digest_of, find_parts
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
    """Rows of the inventory have no outcome; the run must not be published."""


@dataclass(frozen=True)
class Outcome:
    """What stands of a run: files that hold no row twice, by name, and the totals over them."""

    rows: Sequence[Part]
    errors: Sequence[Part]
    leftover: Sequence[Part]
    """Files that are not whole, that hold a row which another one holds, or that a GPU decoded which decodes wrongly;
    `publish` deletes them."""
    coverage: Coverage
    summary: Summary

    def standing_in(self, later: Outcome) -> Outcome:
        """The same, with the totals of those files alone that still count ``later``."""
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
    """Reads the footers of the run's files and finds out which rows have an outcome, shard by shard.

    Args:
        paths: where the run lies.
        storage: holds it.
        shard_sizes: rows of each shard of its inventory.
        own: as `Coverage` takes it; the summary is of the files that hold any of these shards.
        before: what was collected earlier; the files that stood then are not read again.

    Raises:
        StrangeRowsError: a file that is whole claims rows that were never listed.
    """
    known = {part.uri: part for part in (*before.rows, *before.errors)} if before else {}
    rows, errors = find_parts(paths.rows, storage, known), find_parts(paths.errors, storage, known)
    coverage = Coverage(shard_sizes, own)
    # The largest first: what they hold is the most to do again.
    ordered = sorted((*rows, *errors), key=lambda part: (-_num_rows(part), part.uri))
    _tell_damaged(ordered, before)
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
    """Over the parts at ``uris`` that hold any of our own shards."""
    receipts = (part.receipt for part in (*rows, *errors) if part.receipt and part.uri in uris)
    return total(receipt.summary for receipt in receipts if coverage.concerns(receipt.ranges))


def publish(outcome: Outcome, paths: RunPaths, storage: Storage, about: Mapping[str, Any]) -> None:
    """Deletes what is left over, writes the manifest, and last of all ``_SUCCESS``.

    Args:
        outcome: what `collect` gave for all shards.
        paths: where the run lies.
        storage: holds it.
        about: what the manifest says of the run beside its parts.

    Raises:
        IncompleteRunError: a row has no outcome.
        UnreadableRunError: readers of the folders would see other rows than the manifest says.
    """
    coverage = outcome.coverage
    if num_missing := coverage.num_missing + coverage.num_missing_elsewhere:
        first = "; ".join(str(piece) for piece in coverage.missing(limit=3)) or "of other slices"
        raise IncompleteRunError(f"{num_missing:,} images have no outcome ({first}); nothing was published")
    fault("commit.collected")
    leftover = [*(part.uri for part in outcome.leftover), *_half_written(paths, storage)]
    with writing_to(paths.run):
        storage.delete(leftover)
    fault("commit.cleaned")
    manifest = _manifest(outcome, about)
    check_readable(manifest, coverage.num_listed_everywhere, paths, storage)
    write_document(paths.manifest, json.dumps(manifest, indent=1).encode(), storage)
    fault("commit.manifest")
    write_document(paths.success, b"", storage)
    fault("commit.success")


def write_document(uri: str, data: bytes, storage: Storage) -> None:
    """Puts one of the run's documents. Raises `OutputError`, which names it, where storage does not take it."""
    try:
        storage.write(uri, data)
    except (OSError, BaseError) as error:
        said = f"{redacted(uri)}: cannot be written: {one_line(error)}; give the same command again once the storage "
        raise OutputError(write_problem(error, uri) or f"{said}takes it: no image is done twice") from error


def _tell_damaged(parts: Sequence[Part], before: Outcome | None) -> None:
    """Names those that are not whole, once a command."""
    told = {part.uri for part in before.leftover} if before else set()
    for part in parts:
        if part.damage and part.uri not in told:
            LOG.warning("%s: damaged (%s): it counts for nothing, and its rows are done again", part.uri, part.damage)


def _is_taken(part: Part, coverage: Coverage, storage: Storage) -> bool:
    try:
        return part.receipt is not None and coverage.take(part.receipt.ranges)
    except StrangeRowsError:
        if hashlib.sha256(storage.read(part.uri)).hexdigest().startswith(digest_of(part.uri)):
            raise
        LOG.warning("%s: damaged (rows that were never listed): it counts for nothing", part.uri)
        return False


def _half_written(paths: RunPaths, storage: Storage) -> list[str]:
    """What drivers that were killed left of the run's documents. Reports of slices may be in the making."""
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
