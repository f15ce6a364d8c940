"""Checks redrives: error rows retried by another run must have moved there, and exist only once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from actors.columns import IMAGE_ID, URI
from actors.storage.store import TooLargeError
from jobs.verification import row_sets
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
    """Checks the error rows taken over by another run, if the manifest names one."""
    other = manifest.redriven_by
    if other is None:
        return
    left = [name for name in output.parts.get(run_id, ()) if name.startswith("errors/")]
    texts = (f"{name}: still there, though run {other} has taken its rows over; {AGAIN}" for name in sorted(left))
    findings.add_many("unfinished move", texts, len(left))
    if not is_published(output, other):
        text = f"run {other}, which has taken over the error rows, is not published; {AGAIN}"
        findings.add("unfinished move", text)
    elif inventory is not None:
        _check_listed(output, other, manifest, inventory, findings)


def check_moved_here(output: Output, record: RecordDocument, findings: Findings) -> None:
    """Checks that the runs whose error rows this one retried name it in their manifests."""
    for run_id in record.redrives:
        if not is_published(output, run_id):  # since removed by its owner
            continue
        try:
            redriven_by = read_manifest(output.read(f"runs/{run_id}/manifest.json")).redriven_by
        except (FileNotFoundError, TooLargeError, ValueError):
            redriven_by = None  # a broken manifest is reported under its own run
        if redriven_by is None:
            findings.add("unfinished move", f"run {run_id} still has the error rows that this one retried; {AGAIN}")
        elif redriven_by != record.run_id:
            findings.add("doubled move", f"run {run_id} gave its error rows to run {redriven_by}, not to this one")


def is_published(output: Output, run_id: str) -> bool:
    """Returns True if the run has a ``_SUCCESS``."""
    return f"runs/{run_id}/_SUCCESS" in output.runs.get(run_id, ())


def _check_listed(output: Output, other: str, manifest: Manifest, inventory: Inventory, findings: Findings) -> None:
    entries = [entry for entry in manifest.entries if entry.folder == "errors" and inventory.holds(entry.spans)]
    there = check_inventory(output, other, Findings())
    if there is None:
        findings.add("lost in a move", f"the inventory of run {other} cannot be read")
        return
    spans = [row_sets.merged(entry.spans) for entry in entries]
    with ThreadPoolExecutor(1) as pool:  # within DuckDB, a signal to the main thread would become another error
        lost = pool.submit(_unlisted, map(inventory.rows, spans), there).result()
    # DuckDB numbered the moved rows across all parts.
    starts = np.cumsum([0, *map(row_sets.count, spans)])
    for entry, own, start, stop in zip(entries, spans, starts, starts[1:], strict=False):
        is_lost = np.zeros(stop - start, bool)
        is_lost[lost[(lost >= start) & (lost < stop)] - start] = True
        wrong = row_sets.chosen(own, is_lost)
        texts = (f"{text} of {entry.file}: not listed by run {other}" for text in row_sets.describe(wrong))
        findings.add_many("lost in a move", texts, row_sets.num_shards(wrong))


def _unlisted(moved: Iterable[pa.Table], there: Inventory) -> np.ndarray:
    """Returns the ascending positions in ``moved``, from 0, of the rows that ``there`` does not list."""
    with TemporaryDirectory() as folder, duckdb.connect(config=_SETTINGS | {"temp_directory": folder}) as database:
        database.execute(_MOVED)
        first = 0
        for table in moved:
            numbers = pa.array(np.arange(first, first + len(table)))
            rows = table.select([IMAGE_ID, URI]).append_column("number", numbers)
            database.from_arrow(rows).project("image_key(image_id, uri), number").insert_into("moved")
            first += len(table)
        for listed in there.tables():
            database.register("listed", listed)
            database.execute("DELETE FROM moved WHERE key IN (SELECT image_key(image_id, uri) FROM listed)").fetchall()
        return np.asarray(database.sql("SELECT number FROM moved ORDER BY number").fetchnumpy()["number"])


# 24 bytes per moved row, however many are listed. 10 million listed rows take 10 s of CPU, including reading the
# inventory; hashing each row in Python took 15 s.
_MOVED = """
    CREATE MACRO image_key(image_id, uri) AS md5_number(concat(strlen(image_id), ':', image_id, uri));
    CREATE TABLE moved (key UHUGEINT, number BIGINT)
"""
_SETTINGS: dict[str, Any] = {"memory_limit": "1GB", "threads": 2}
