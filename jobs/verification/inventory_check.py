"""Checks that the inventory of a run is complete and well formed, and reads rows by span."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.columns import IMAGE_ID, INVENTORY_FIELDS, ROW, SHARD, URI
from actors.storage.store import TooLargeError
from jobs.verification import row_sets
from jobs.verification.findings import UNREADABLE, Findings, first_line
from jobs.verification.output_files import LinkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.verification.output_files import Output

# Repeated from `actors.reading.shards`: a proof must not depend on the code that it checks.
SHARDS_PER_FILE = 64
NUM_SHARDS_KEY = b"shardlens.num_shards"
NUM_THREADS = 8  # each holds one whole file in memory


@dataclass(frozen=True, eq=False)
class Inventory:
    """A readable inventory. `check_inventory` reports what is wrong with it."""

    output: Output
    run_id: str
    sizes: np.ndarray
    """Rows of each shard."""
    schema: pa.Schema
    digest: str
    """SHA-256 over the digests of the files, as in ``run.json``."""

    @property
    def spans(self) -> np.ndarray:
        """Spans of all listed rows."""
        return row_sets.of_sizes(self.sizes)

    @property
    def carried(self) -> list[str]:
        """Columns that are copied to the output: the target and the kept columns."""
        own = {field.name for field in INVENTORY_FIELDS}
        return [name for name in self.schema.names if name not in own]

    def holds(self, wanted: np.ndarray) -> bool:
        """Returns True if all rows of these spans are listed."""
        shards, stops = wanted[:, 0], wanted[:, 2]
        # The first test protects the indexing in the second.
        return bool((shards < len(self.sizes)).all() and (stops <= self.sizes[shards]).all())

    def rows(self, wanted: np.ndarray) -> pa.Table:
        """Returns image id, URI and carried columns of the rows of these spans, in that order; all must be listed."""
        shards, rows = row_sets.expand(wanted)
        needed = np.unique(shards)
        tables = [
            self._groups(int(number), needed[needed // SHARDS_PER_FILE == number] % SHARDS_PER_FILE)
            for number in np.unique(needed // SHARDS_PER_FILE)
        ]
        if not tables:
            return self.schema.empty_table().select([IMAGE_ID, URI, *self.carried])
        starts = np.concatenate([[0], np.cumsum(self.sizes[needed])])
        places = starts[np.searchsorted(needed, shards)] + rows
        return pa.concat_tables(tables).combine_chunks().take(pa.array(places))

    def tables(self) -> Iterator[pa.Table]:
        """Yields image id and URI of every row, one table per file."""
        for first in range(0, len(self.sizes), SHARDS_PER_FILE):
            sizes = self.sizes[first : first + SHARDS_PER_FILE]
            yield self.rows(row_sets.of_sizes(sizes, first_shard=first)).select([IMAGE_ID, URI])

    def _groups(self, number: int, groups: np.ndarray) -> pa.Table:
        with self.output.open(_name(self.run_id, number)) as source, pq.ParquetFile(source) as file:
            table = file.read_row_groups(groups.tolist(), [IMAGE_ID, URI, *self.carried], use_threads=False)
        return table.replace_schema_metadata(None)


def check_inventory(output: Output, run_id: str, findings: Findings) -> Inventory | None:
    """Reads and checks the inventory of a run; returns None if it cannot be read."""
    names = _numbered(output, run_id, findings)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        files = list(pool.map(lambda place: _read(output, place[1], place[0]), enumerate(names)))
    for file in files:
        findings.merge(file.findings)
    readable = [file for file in files if file.schema is not None]
    if not readable or len(readable) < len(files):
        return None
    _check_together(files, names, findings)
    digest = hashlib.sha256(b"".join(file.digest for file in files)).hexdigest()
    sizes = np.array([size for file in files for size in file.sizes], np.int64)
    schema = files[0].schema
    return Inventory(output, run_id, sizes, schema, digest) if schema is not None else None


@dataclass(frozen=True, eq=False)
class _File:
    findings: Findings
    digest: bytes = b""
    sizes: Sequence[int] = ()
    schema: pa.Schema | None = None
    num_shards: bytes | None = None


def _name(run_id: str, number: int) -> str:
    return f"runs/{run_id}/inventory/inventory-{number:05d}.parquet"


def _numbered(output: Output, run_id: str, findings: Findings) -> list[str]:
    """Returns the names of the files from 0 to the first gap."""
    folder = f"runs/{run_id}/inventory/"
    there = {name for name in output.runs[run_id] if name.startswith(folder)}
    names: list[str] = []
    while (name := _name(run_id, len(names))) in there:
        names.append(name)
    beyond = sorted(there - set(names))
    is_numbered = [re.fullmatch(r"inventory-\d{5,}\.parquet", name.removeprefix(folder)) for name in beyond]
    if not names or any(is_numbered):
        findings.add("wrong inventory", f"{_name(run_id, len(names))}: missing")
    strangers = [name for name, numbered in zip(beyond, is_numbered, strict=True) if not numbered]
    findings.add_many("stranger file", strangers, len(strangers))
    return names


def _read(output: Output, name: str, number: int) -> _File:
    findings = Findings()
    try:
        data = output.read(name)
    except (FileNotFoundError, TooLargeError, LinkError) as error:
        findings.add("wrong inventory", f"{name}: {error}")
        return _File(findings)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            schema = file.schema_arrow
            key_values = file.metadata.metadata or {}
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            if wrong := _wrong_columns(schema) or _wrong_numbers(file, number):
                findings.add("wrong inventory", f"{name}: {wrong}")
    except UNREADABLE as error:
        findings.add("wrong inventory", f"{name}: cannot be read: {first_line(error)}")
        return _File(findings)
    digest = hashlib.sha256(data).digest()
    return _File(findings, digest, sizes, schema.remove_metadata(), key_values.get(NUM_SHARDS_KEY))


def _wrong_columns(schema: pa.Schema) -> str:
    for field in INVENTORY_FIELDS:
        if field.name not in schema.names or not schema.field(field.name).equals(field):
            return f"column {field.name} is not {field.type}{'' if field.nullable else ' without nulls'}"
    return ""


def _wrong_numbers(file: pq.ParquetFile, number: int) -> str:
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, use_threads=False)  # every column, so that none fails to be read later
        table.validate(full=True)
        shard = number * SHARDS_PER_FILE + group
        if (table[SHARD].to_numpy() != shard).any():
            return f"row group {group}: column {SHARD} is not {shard}"
        if (table[ROW].to_numpy() != np.arange(len(table))).any():
            return f"shard {shard}: column {ROW} does not count from 0"
    return ""


def _check_together(files: Sequence[_File], names: Sequence[str], findings: Findings) -> None:
    for file, name in zip(files[:-1], names, strict=False):
        if len(file.sizes) != SHARDS_PER_FILE:
            findings.add("wrong inventory", f"{name}: {len(file.sizes)} shards instead of {SHARDS_PER_FILE}")
        if file.schema != files[-1].schema:
            findings.add("wrong inventory", f"{name}: its columns differ from those of {names[-1]}")
    num_shards = sum(len(file.sizes) for file in files)
    if files[-1].num_shards != str(num_shards).encode():
        recorded = (files[-1].num_shards or b"missing").decode(errors="replace")
        key = NUM_SHARDS_KEY.decode()
        findings.add("wrong inventory", f"{names[-1]}: {key} is {recorded}, but the files hold {num_shards} shards")
