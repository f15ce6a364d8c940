"""Verifies one run of an output from its inventory, its documents and its parts."""

from __future__ import annotations

import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from jobs.verification import row_sets
from jobs.verification.consistency import (
    check_agreement,
    check_config,
    check_manifest_sha256,
    check_report,
    read_documents,
)
from jobs.verification.digest import MODULUS
from jobs.verification.findings import Findings, Status, Verdict
from jobs.verification.folder import check_folder
from jobs.verification.inventory_check import check_inventory
from jobs.verification.part_check import PartCheck, claim
from jobs.verification.redrives import AGAIN, check_moved_away, check_moved_here, is_published

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.verification.documents import Manifest
    from jobs.verification.inventory_check import Inventory
    from jobs.verification.output_files import Output
    from jobs.verification.part_check import CheckedPart


def verify_run(output: Output, run_id: str, *, wants_digest: bool, manifest_sha256: str | None = None) -> Verdict:
    """Verifies one run. Memory grows with shards, parts and the gaps left by error rows, not with images.

    ``manifest_sha256`` is the expected digest of ``manifest.json``, kept outside the output.
    """
    if not is_published(output, run_id):
        return _unfinished(output, run_id)
    findings = Findings()
    record, manifest = read_documents(output, run_id, findings)
    inventory = check_inventory(output, run_id, findings)
    check_agreement(record, manifest, inventory, findings)
    config = check_config(output, run_id, record, findings)
    check_report(output, run_id, manifest, findings)
    check_folder(output, run_id, findings)
    if manifest_sha256 is not None:
        check_manifest_sha256(output, run_id, manifest_sha256, findings)
    tally = _Tally(findings)
    if manifest is not None:
        provenance = {key: getattr(manifest, key) for key in ("fingerprint", "dataset_digest")}
        are_ratios = config is not None and config.gives_ratios
        _read_parts(output, run_id, manifest, PartCheck(output, inventory, wants_digest, provenance, are_ratios), tally)
        _check_totals(manifest, tally)
        check_moved_away(output, run_id, manifest, inventory, findings)
    if inventory is not None and manifest is not None:
        _check_cover(inventory, tally)
    if record is not None:
        check_moved_here(output, record, findings)
    is_proven = not len(findings)
    return Verdict(
        run_id,
        Status.proven if is_proven else Status.refuted,
        findings,
        num_listed=row_sets.count(inventory.spans) if inventory is not None else None,
        num_ok=tally.num_rows["rows"],
        num_errors=tally.num_rows["errors"],
        num_parts=tally.num_parts,
        digest=f"{tally.digest:032x}" if is_proven and wants_digest else None,
        moved_to=manifest.redriven_by if manifest is not None else None,
    )


# Each thread holds one whole part in memory.
_NUM_THREADS = min(8, os.cpu_count() or 1)


@dataclass
class _Tally:
    """Running totals over the parts."""

    findings: Findings
    num_rows: Counter[str] = field(default_factory=Counter)
    """Rows by folder, ``rows`` or ``errors``."""
    num_parts: int = 0
    digest: int = 0
    found: list[np.ndarray] = field(default_factory=list)
    schemas: dict[str, tuple[str, pa.Schema]] = field(default_factory=dict)
    """First file and its schema, by folder."""

    def add(self, folder: str, name: str, part: CheckedPart) -> None:
        self.findings.merge(part.findings)
        self.found.append(part.spans)
        self.num_rows[folder] += part.num_rows
        self.num_parts += 1
        self.digest = (self.digest + part.digest) % MODULUS
        if part.schema is None:
            return
        first, schema = self.schemas.setdefault(folder, (name, part.schema))
        if not part.schema.equals(schema):
            self.findings.add("other columns", f"{name}: its columns or their types differ from those of {first}")


def _read_parts(output: Output, run_id: str, manifest: Manifest, check: PartCheck, tally: _Tally) -> None:
    # The run that took over the error rows has deleted their files; only the manifest still names them.
    moved = {"errors"} if manifest.redriven_by is not None else set()
    entries = [entry for entry in manifest.entries if entry.folder not in moved]
    names = [f"{entry.folder}/model={manifest.fingerprint}/run={run_id}/{entry.file}" for entry in entries]
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for entry, name, part in zip(entries, names, pool.map(check, entries, names), strict=True):
            tally.add(entry.folder, name, part)
    for entry in manifest.entries:
        if entry.folder in moved:
            tally.found.append(entry.spans)
            tally.num_rows[entry.folder] += row_sets.count(entry.spans)
    # A part that is listed twice has duplicate rows and consistent totals, so each name must be unique.
    for name, number in Counter(names).items():
        if number > 1:
            tally.findings.add("wrong document", f"manifest.json: it lists {name} {number} times")
    there = {name for name in output.parts.get(run_id, ()) if name.partition("/")[0] not in moved}
    for name in sorted(there - set(names)):
        tally.findings.add("stranger file", f"{name}: a late part; {AGAIN}" if _is_part(name) else name)
        # Readers see its rows, so they count as duplicates if another file has them.
        if _is_seen(name):
            tally.found.append(claim(output, name).spans)


def _check_cover(inventory: Inventory, tally: _Tally) -> None:
    cover = row_sets.compare(inventory.spans, np.concatenate([row_sets.NOTHING, *tally.found]))
    for kind, rows in zip(("missing rows", "doubled rows", "never listed rows"), cover, strict=True):
        tally.findings.add_many(kind, row_sets.describe(rows), row_sets.num_shards(rows))


def _check_totals(manifest: Manifest, tally: _Tally) -> None:
    counted = {"num_ok": tally.num_rows["rows"], "num_errors": tally.num_rows["errors"]}
    for key, number in {**counted, "num_listed": sum(counted.values())}.items():
        recorded = getattr(manifest, key)
        if recorded != number:
            tally.findings.add("wrong total", f"manifest.json: {key} is {recorded:,}, but {number:,} rows were counted")


def _unfinished(output: Output, run_id: str) -> Verdict:
    """Returns the verdict on a run that is running or has died. Rows written by two attempts count twice."""
    record, _ = read_documents(output, run_id, Findings())
    names = [name for name in output.parts.get(run_id, ()) if _is_seen(name)]
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        parts = list(pool.map(lambda name: claim(output, name), names))
    tally = _Tally(Findings())
    for name, part in zip(names, parts, strict=True):
        tally.add(name.partition("/")[0], name, part)
    return Verdict(
        run_id,
        Status.unfinished,
        Findings(),
        num_listed=record.num_listed if record is not None else None,
        num_ok=tally.num_rows["rows"],
        num_errors=tally.num_rows["errors"],
        num_parts=tally.num_parts,
    )


def _is_part(name: str) -> bool:
    return re.fullmatch(r"(?:part|empty)-\d{6,}-[0-9a-f]{32}\.parquet", name.rpartition("/")[2]) is not None


def _is_seen(name: str) -> bool:
    """Returns True if readers of the folder read the file as rows."""
    file = name.rpartition("/")[2]
    return file.endswith(".parquet") and not file.startswith((".", "_"))
