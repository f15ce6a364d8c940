"""Checks one part file against its digest, its receipt, the manifest and the inventory. Runs in several threads."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage.json_documents import MAX_BYTES, parse_object
from actors.storage.store import TooLargeError
from jobs.verification import row_sets
from jobs.verification.digest import MODULUS, rows_digest
from jobs.verification.findings import UNREADABLE, Findings, first_line
from jobs.verification.output_files import LinkError
from jobs.verification.rows import ERRORS_IN_DIGEST, wrong_columns, wrong_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobs.verification.documents import Entry
    from jobs.verification.inventory_check import Inventory
    from jobs.verification.output_files import Output

# Formats are repeated here on purpose, as in `inventory_check`.
RECEIPT_KEY = b"shardlens.receipt"
PROVENANCE_KEY = b"shardlens.provenance"


@dataclass(frozen=True, eq=False)
class CheckedPart:
    """Content of a part file, and the findings about it."""

    findings: Findings
    spans: np.ndarray = field(default_factory=lambda: row_sets.NOTHING)
    """Rows that the file holds according to its receipt."""
    num_rows: int = 0
    schema: pa.Schema | None = None
    digest: int = 0
    """Digest of the rows, from `rows_digest`."""


@dataclass(frozen=True, eq=False)
class PartCheck:
    """Check of the parts of one run. Without an ``inventory``, rows are counted but not compared."""

    output: Output
    inventory: Inventory | None
    wants_digest: bool
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Entries that every footer must have."""
    are_ratios: bool = False
    """True if scores must lie between 0 and 1."""

    def __call__(self, entry: Entry, name: str) -> CheckedPart:
        """Checks the file ``name``, which the manifest describes by ``entry``."""
        findings = Findings()
        named = re.fullmatch(r"(?:part|empty)-\d{6,}-([0-9a-f]{32})\.parquet", entry.file)
        if named is None:  # never opened: the path may lead out of the output
            shown = name.encode(errors="backslashreplace").decode()
            findings.add("wrong name", f"{shown}: not the name of a part")
            return CheckedPart(findings)
        if named[1] != entry.digest:
            findings.add("wrong name", f"{name}: the manifest's digest is {entry.digest}")
        try:
            data = self.output.read(name)
        except FileNotFoundError:
            findings.add("missing part", name)
            return CheckedPart(findings)
        except (LinkError, TooLargeError) as error:
            findings.add("unreadable part", f"{name}: {error}")
            return CheckedPart(findings)
        if len(data) != entry.size_bytes:
            findings.add("wrong size", f"{name}: {len(data):,} bytes, but the manifest says {entry.size_bytes:,}")
        digest = hashlib.sha256(data).hexdigest()
        if not digest.startswith(entry.digest) or len(entry.digest) != _DIGEST_CHARS:
            findings.add("wrong digest", f"{name}: the digest of its bytes is {digest[:_DIGEST_CHARS]}")
            return _claimed(data, findings)  # the rows of a damaged file are not checked
        return self._opened(entry, name, data, findings)

    def _opened(self, entry: Entry, name: str, data: bytes, findings: Findings) -> CheckedPart:
        try:
            metadata = pq.read_metadata(pa.BufferReader(data))
            found, schema = _receipt(metadata), metadata.schema.to_arrow_schema().remove_metadata()
            recorded = _footer(metadata, PROVENANCE_KEY)
        except UNREADABLE as error:
            findings.add("unreadable part", f"{name}: {first_line(error)}")
            return CheckedPart(findings)
        for key, value in self.provenance.items():
            if recorded.get(key) != value:
                text = f"{key} is {recorded.get(key)!r:.100} in its footer, but the manifest says {value}"
                findings.add("wrong provenance", f"{name}: {text}")
        self._check_receipt(entry, name, found, metadata.num_rows, findings)
        part = CheckedPart(findings, found, metadata.num_rows, schema)
        wrong = wrong_columns(schema, entry.folder, self.inventory.carried if self.inventory else ())
        if wrong:
            findings.add("wrong columns", f"{name}: {wrong}")
            return part
        listed = self._listed(found, metadata.num_rows)
        try:
            return replace(part, digest=self._read_rows(entry, name, data, listed, findings))
        except UNREADABLE as error:
            findings.add("unreadable part", f"{name}: {first_line(error)}")
            return part

    def _check_receipt(self, entry: Entry, name: str, found: np.ndarray, num_rows: int, findings: Findings) -> None:
        if not np.array_equal(row_sets.merged(found), row_sets.merged(entry.spans)):
            findings.add("wrong receipt", f"{name}: its receipt names other rows than the manifest")
        if num_rows != row_sets.count(found):
            text = f"its receipt names {row_sets.count(found):,} rows, but the file holds {num_rows:,}"
            findings.add("wrong receipt", f"{name}: {text}")
        if num_rows != entry.num_rows:
            findings.add("wrong total", f"{name}: {num_rows:,} rows, but the manifest says {entry.num_rows:,}")

    def _listed(self, found: np.ndarray, num_rows: int) -> _Listed | None:
        """Returns the rows that the part should hold; None if that is ambiguous, which other findings report."""
        in_order = row_sets.merged(found)
        if self.inventory is None or not row_sets.count(found) == row_sets.count(in_order) == num_rows:
            return None
        return _Listed(in_order, self.inventory.rows(in_order)) if self.inventory.holds(in_order) else None

    def _read_rows(self, entry: Entry, name: str, data: bytes, listed: _Listed | None, findings: Findings) -> int:
        """Compares the rows with the inventory; returns their digest."""
        digest, num_read = 0, 0
        masks: dict[str, list[tuple[int, np.ndarray]]] = {}
        for table in _batches(data):
            if listed is not None:
                same = listed.table.slice(num_read, len(table))
                for fault, mask in wrong_rows(table, same, entry.folder, are_ratios=self.are_ratios):
                    masks.setdefault(fault, []).append((num_read, mask))
            if self.wants_digest:
                digest += rows_digest(table.select(ERRORS_IN_DIGEST) if entry.folder == "errors" else table)
            num_read += len(table)
        if listed is not None and num_read != len(listed.table):
            raise ValueError(f"{num_read:,} rows can be read, but its footer says {len(listed.table):,}")
        for fault, parts in masks.items():
            whole = np.zeros(num_read, bool)
            for start, mask in parts:
                whole[start : start + len(mask)] = mask
            wrong = row_sets.chosen(listed.spans if listed else row_sets.NOTHING, whole)
            texts = (f"{name}: {text}: {fault}" for text in row_sets.describe(wrong))
            findings.add_many("wrong rows", texts, row_sets.num_shards(wrong))
        return digest % MODULUS


def claim(output: Output, name: str) -> CheckedPart:
    """Returns the rows that a file outside the manifest claims to hold; none if it is not a part."""
    try:
        source = output.open(name)
    except (FileNotFoundError, LinkError):
        return CheckedPart(Findings())
    with source:
        try:
            metadata = pq.read_metadata(source)
            return CheckedPart(Findings(), _receipt(metadata), metadata.num_rows)
        except UNREADABLE:
            return CheckedPart(Findings())


_DIGEST_CHARS = 32  # half of a SHA-256, as in the names of parts
_BATCH_ROWS = 4096  # bounds memory: a part of 60 MB decodes to a multiple of that


class _Listed(NamedTuple):
    """Rows of the inventory and their spans."""

    spans: np.ndarray
    table: pa.Table


def _batches(data: bytes) -> Iterator[pa.Table]:
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        # `run_check` already uses one thread per part.
        for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
            table = pa.Table.from_batches([batch]).replace_schema_metadata(None)
            # Arrow reads strings from Parquet without checking that they are UTF-8.
            table.validate(full=True)
            yield table


def _claimed(data: bytes, findings: Findings) -> CheckedPart:
    """Returns the receipt of a file whose rows are not read; empty if it cannot be parsed."""
    try:
        metadata = pq.read_metadata(pa.BufferReader(data))
        return CheckedPart(findings, _receipt(metadata), metadata.num_rows)
    except UNREADABLE:
        return CheckedPart(findings)


def _receipt(metadata: pq.FileMetaData) -> np.ndarray:
    content = _footer(metadata, RECEIPT_KEY)
    if "ranges" not in content:
        raise ValueError("its footer has no receipt")
    return row_sets.parse(content["ranges"])


def _footer(metadata: pq.FileMetaData, key: bytes) -> dict[str, Any]:
    """Returns the JSON object of one footer entry; empty if the entry is missing."""
    return parse_object((metadata.metadata or {}).get(key, b"{}"), max_bytes=MAX_BYTES)
