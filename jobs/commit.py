"""From parts to a published run: what the footers prove, which files stand, and the manifest. Runs on the driver
before and after the pipeline; it trusts storage alone, so it can be run again at any time.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import BaseError

from actors.errors import OutputError
from actors.faults import fault
from actors.local_files import STAGED_NAME
from actors.messages import one_line, redacted, write_problem
from actors.receipts import Receipt, count
from actors.run_paths import PART_NAME
from actors.summaries import total
from actors.uris import name_below
from jobs.coverage import Coverage
from jobs.readable import check_readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from actors.run_paths import RunPaths
    from actors.storage import Storage
    from actors.summaries import Summary


class IncompleteRunError(Exception):
    """Rows of the inventory have no outcome; the run must not be published."""


@dataclass(frozen=True)
class Part:
    """One file of a run, as found on storage. ``receipt`` is None when it is not whole, or has not the name of a part,
    whatever it holds.
    """

    uri: str
    size_bytes: int
    receipt: Receipt | None


@dataclass(frozen=True)
class Outcome:
    """What stands of a run: files that hold no row twice, by name, and the totals over them."""

    rows: Sequence[Part]
    errors: Sequence[Part]
    leftover: Sequence[Part]
    """Files that are not whole, or hold a row that another one holds; `publish` deletes them."""
    coverage: Coverage
    summary: Summary


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
        StrangeRowsError: a file claims rows that were never listed.
    """
    known = {part.uri: part for part in (*before.rows, *before.errors)} if before else {}
    rows, errors = find_parts(paths.rows, storage, known), find_parts(paths.errors, storage, known)
    coverage = Coverage(shard_sizes, own)
    # The largest first: what they hold is the most to do again.
    ordered = sorted((*rows, *errors), key=lambda part: (-_num_rows(part), part.uri))
    kept = {part.uri for part in ordered if part.receipt and coverage.take(part.receipt.ranges)}
    return Outcome(
        [part for part in rows if part.uri in kept],
        [part for part in errors if part.uri in kept],
        [part for part in ordered if part.uri not in kept],
        coverage,
        total(
            part.receipt.summary
            for part in ordered
            if part.receipt and part.uri in kept and coverage.concerns(part.receipt.ranges)
        ),
    )


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
    storage.delete([*(part.uri for part in outcome.leftover), *_half_written(paths, storage)])
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


def find_parts(folder: str, storage: Storage, known: Mapping[str, Part]) -> list[Part]:
    """Every file that a sink left in ``folder``, with the receipt of its footer, sorted by URI.

    Those in ``known`` are taken from there: a part never changes.
    """
    if storage.kind(folder) is None:
        return []
    listed = [row for batch in storage.list(folder) for row in batch.to_pylist() if _is_of_a_sink(row["uri"])]
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        parts = pool.map(lambda row: known.get(row["uri"]) or _read_part(row["uri"], row["size"], storage), listed)
        return sorted(parts, key=lambda part: part.uri)


_FOOTER_THREADS = 16


def _is_of_a_sink(uri: str) -> bool:
    """Whether the sink made the file, a part or not: anything else in the folder is left alone."""
    return uri.rpartition("/")[2].lstrip(".").startswith("part-")


def _read_part(uri: str, size_bytes: int, storage: Storage) -> Part:
    # Versions before this one staged parts beside the others, under names with a dot, and some died before the rename.
    if not PART_NAME.fullmatch(uri.rpartition("/")[2]):
        return Part(uri, size_bytes, None)
    with storage.open(uri) as file:
        try:
            return Part(uri, size_bytes, Receipt.from_footer(pq.read_metadata(file).metadata))
        except pa.ArrowInvalid:
            return Part(uri, size_bytes, None)


def _half_written(paths: RunPaths, storage: Storage) -> list[str]:
    """What drivers that were killed left of the run's documents. Reports of slices may be in the making."""
    if storage.kind(paths.run) is None:
        return []
    uris = [uri for batch in storage.list(paths.run) for uri in batch["uri"].to_pylist()]
    names = [name_below(paths.run, uri).removeprefix("inventory/") for uri in uris]
    return [uri for uri, name in zip(uris, names, strict=True) if "/" not in name and STAGED_NAME.fullmatch(name)]


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
        "digest": name.removesuffix(".parquet").rpartition("-")[2],
        "ranges": {str(shard): runs for shard, runs in receipt.ranges.items()},
    }
