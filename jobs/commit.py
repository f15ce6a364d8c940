"""From parts to a published run: what the footers prove, which attempts stand, and the manifest. Runs on the driver
after the pipeline; it trusts storage alone, so it can be run again at any time.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.receipts import Receipt, count
from actors.summaries import Summary, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from actors.receipts import Ranges
    from actors.run_paths import RunPaths
    from actors.storage import Storage


class IncompleteRunError(Exception):
    """Rows of the inventory have no outcome; the run must not be published."""


@dataclass(frozen=True)
class Part:
    """One file of a run, as found on storage. ``receipt`` is None when the file is not whole."""

    uri: str
    size_bytes: int
    receipt: Receipt | None


@dataclass(frozen=True)
class Outcome:
    """What stands of a run: files that hold each row of the inventory once, by name, and the totals over them."""

    rows: Sequence[Part]
    errors: Sequence[Part]
    leftover: Sequence[Part]
    """Files of attempts that died or were done again; `publish` deletes them."""
    summary: Summary


def collect(paths: RunPaths, storage: Storage, shard_sizes: Sequence[int]) -> Outcome:
    """Reads every footer of the run and proves ``listed = ok + errors``, shard by shard.

    Raises:
        IncompleteRunError: a row has no outcome.
    """
    rows, errors = find_parts(paths.rows, storage), find_parts(paths.errors, storage)
    kept, covered = choose_attempts(rows, errors)
    _check_cover(covered, shard_sizes)
    return Outcome(
        [part for part in rows if _stands(part, kept)],
        [part for part in errors if _stands(part, kept)],
        [part for part in (*rows, *errors) if not _stands(part, kept)],
        total(receipt.summary for receipt in kept.values()),
    )


def publish(outcome: Outcome, paths: RunPaths, storage: Storage, about: Mapping[str, Any]) -> None:
    """Deletes what is left over, writes the manifest, and last of all ``_SUCCESS``.

    Args:
        outcome: what `collect` gave.
        paths: where the run lies.
        storage: holds it.
        about: what the manifest says of the run beside its parts.
    """
    storage.delete(part.uri for part in outcome.leftover)
    storage.write(paths.manifest, json.dumps(_manifest(outcome, about), indent=1).encode())
    storage.write(paths.success, b"")


def find_parts(folder: str, storage: Storage) -> list[Part]:
    """Every file that a sink left in ``folder``, with the receipt of its footer, sorted by URI."""
    if storage.kind(folder) is None:
        return []
    listed = [row for batch in storage.list(folder) for row in batch.to_pylist() if _is_ours(row["uri"])]
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        receipts = pool.map(lambda row: _read_receipt(row["uri"], storage), listed)
        parts = [Part(row["uri"], row["size"], receipt) for row, receipt in zip(listed, receipts, strict=True)]
    return sorted(parts, key=lambda part: part.uri)


def choose_attempts(rows: Iterable[Part], errors: Iterable[Part]) -> tuple[dict[str, Receipt], Ranges]:
    """By name, attempts none of which share a row, the first by name winning; and the rows that they cover.

    An attempt of which a file is missing is no candidate: it died between its two writes.
    """
    files_of_rows = {part.receipt.attempt: part.receipt for part in rows if part.receipt}
    files_of_errors = {part.receipt.attempt: part.receipt for part in errors if part.receipt}
    kept: dict[str, Receipt] = {}
    covered: Ranges = {}
    for name, receipt in sorted((files_of_rows | files_of_errors).items()):
        is_complete = (not receipt.ok or name in files_of_rows) and (not receipt.errors or name in files_of_errors)
        if is_complete and _take(covered, receipt):
            kept[name] = receipt
    return kept, covered


_FOOTER_THREADS = 16


def _take(covered: Ranges, receipt: Receipt) -> bool:
    """Adds the rows of ``receipt`` to ``covered``, unless one of them is there already."""
    wanted = [(shard, run) for part in (receipt.ok, receipt.errors) for shard, runs in part.items() for run in runs]
    for shard, (start, stop) in wanted:
        if any(first < stop and start < last for first, last in covered.get(shard, ())):
            return False
    for shard, run in wanted:
        covered[shard] = _merge([*covered.get(shard, []), run])
    return True


def _merge(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(runs):
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


def _check_cover(covered: Ranges, shard_sizes: Sequence[int]) -> None:
    listed: Ranges = {shard: [(0, size)] for shard, size in enumerate(shard_sizes)}
    missing = {shard: count({shard: runs}) - count({shard: covered.get(shard, [])}) for shard, runs in listed.items()}
    if any(missing.values()):
        short = [f"shard {shard}: {rows} rows" for shard, rows in missing.items() if rows]
        raise IncompleteRunError(
            f"{sum(missing.values())} of {sum(shard_sizes)} images have no outcome ({', '.join(short[:5])}); "
            "nothing was published"
        )
    if covered != listed:
        raise IncompleteRunError("parts claim rows that were never listed; nothing was published")


def _is_ours(uri: str) -> bool:
    """Whether the sink made the file: anything else in the folder is left alone."""
    return uri.rpartition("/")[2].lstrip(".").startswith("part-")


def _stands(part: Part, kept: Mapping[str, Receipt]) -> bool:
    return part.receipt is not None and part.receipt.attempt in kept


def _read_receipt(uri: str, storage: Storage) -> Receipt | None:
    with storage.open(uri) as file:
        try:
            return Receipt.from_footer(pq.read_metadata(file).metadata)
        except pa.ArrowInvalid:
            return None


def _manifest(outcome: Outcome, about: Mapping[str, Any]) -> dict[str, Any]:
    summary = outcome.summary
    return {
        **about,
        "num_listed": summary.num_images,
        "num_ok": summary.num_ok,
        "num_errors": summary.num_errors,
        "rows": [_describe(part, part.receipt.ok) for part in outcome.rows if part.receipt],
        "errors": [_describe(part, part.receipt.errors) for part in outcome.errors if part.receipt],
    }


def _describe(part: Part, ranges: Ranges) -> dict[str, Any]:
    return {
        "file": part.uri.rpartition("/")[2],
        "num_rows": count(ranges),
        "size_bytes": part.size_bytes,
        "ranges": {str(shard): runs for shard, runs in ranges.items()},
    }
