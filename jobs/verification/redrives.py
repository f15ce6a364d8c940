"""Error rows that another run tried again: whether they are where the manifests say, and nowhere twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.storage.store import TooLargeError
from jobs.verification import row_sets
from jobs.verification.digest import row_hashes
from jobs.verification.documents import read_manifest
from jobs.verification.findings import Findings
from jobs.verification.inventory_check import check_inventory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobs.verification.documents import Manifest, RecordDocument
    from jobs.verification.inventory_check import Inventory
    from jobs.verification.output_files import Output

AGAIN = "run the same command again"


def check_moved_away(
    output: Output, run_id: str, manifest: Manifest, inventory: Inventory | None, findings: Findings
) -> None:
    """Where the error rows of a run went, if its manifest says that another has taken them over."""
    other = manifest.redriven_by
    if other is None:
        return
    left = [name for name in output.parts.get(run_id, ()) if name.startswith("errors/")]
    whats = (f"{name}: still there, though run {other} has taken its rows over; {AGAIN}" for name in sorted(left))
    findings.add_many("unfinished move", whats, len(left))
    if not is_published(output, other):
        what = f"run {other}, which has taken over the error rows, is not published; {AGAIN}"
        findings.add("unfinished move", what)
    elif inventory is not None:
        _check_listed(output, other, manifest, inventory, findings)


def check_moved_here(output: Output, record: RecordDocument, findings: Findings) -> None:
    """Whether the runs whose error rows this one tried again know that they are here now."""
    for run_id in record.redrives:
        if not is_published(output, run_id):  # removed by its owner since
            continue
        try:
            redriven_by = read_manifest(output.read(f"runs/{run_id}/manifest.json")).redriven_by
        except (FileNotFoundError, TooLargeError, ValueError):
            redriven_by = None  # what is wrong with that manifest stands under its own run
        if redriven_by is None:
            findings.add("unfinished move", f"run {run_id} still has the error rows that this one tried again; {AGAIN}")
        elif redriven_by != record.run_id:
            findings.add("doubled move", f"run {run_id} gave its error rows to run {redriven_by}, not to this one")


def is_published(output: Output, run_id: str) -> bool:
    return f"runs/{run_id}/_SUCCESS" in output.runs.get(run_id, ())


def _check_listed(output: Output, other: str, manifest: Manifest, inventory: Inventory, findings: Findings) -> None:
    entries = [entry for entry in manifest.entries if entry.folder == "errors" and inventory.holds(entry.spans)]
    there = check_inventory(output, other, Findings())
    if there is None:
        findings.add("lost in a move", f"the inventory of run {other} cannot be read")
        return
    # 32 bytes a moved row, whatever is listed here and there.
    keys = [_keys(inventory, row_sets.merged(entry.spans)) for entry in entries]
    for entry, is_missing in zip(entries, _missing(keys, there), strict=True):
        lost = row_sets.chosen(row_sets.merged(entry.spans), is_missing)
        whats = (f"{text} of {entry.file}: not listed by run {other}" for text in row_sets.describe(lost))
        findings.add_many("lost in a move", whats, row_sets.num_shards(lost))


def _keys(inventory: Inventory, wanted: np.ndarray) -> np.ndarray:
    """64 bits that tell (image id, URI) apart."""
    return row_hashes(inventory.rows(wanted).select([0, 1]))[:, 0]


def _missing(keys: Iterable[np.ndarray], there: Inventory) -> list[np.ndarray]:
    parts = list(keys)
    wanted = np.unique(np.concatenate([np.empty(0, np.uint64), *parts]))
    is_found = np.zeros(len(wanted), bool)
    for table in there.tables():
        listed = row_hashes(table)[:, 0]
        places = np.searchsorted(wanted, listed).clip(max=max(0, len(wanted) - 1))
        if len(wanted):
            is_found[places[wanted[places] == listed]] = True
    return [~is_found[np.searchsorted(wanted, part)] for part in parts]
