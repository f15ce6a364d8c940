"""A digest of rows that depends on neither their order nor how they are cut into files, so that a run which was
killed and resumed can be compared with one that was not.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from jobs.verification.row_bytes import cells, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

MODULUS = 1 << 128


def rows_digest(table: pa.Table) -> int:
    """The sum of the hashes of the rows, modulo `MODULUS`; digests of several tables are added up likewise.

    The columns count by name, in any order. Bits count: 0.0 is not -0.0.
    """
    digests = row_hashes(table)
    columns = digests.view("<u4").reshape(-1, 4).sum(axis=0, dtype=np.uint64)
    return sum(int(number) << (32 * place) for place, number in enumerate(columns)) % MODULUS


def row_hashes(table: pa.Table) -> np.ndarray:
    """The first 128 bits of SHA-256 over the names and types of the columns and each row, as uint64 of shape (n, 2)."""
    table = table.select(sorted(table.column_names))
    columns = "\n".join(f"{field.name}:{_type(field.type)}" for field in table.schema)
    salted = hashlib.sha256(f"{columns}\0".encode())
    found = [_hash(salted.copy(), row) for row in _rows(table)]
    return np.frombuffer(b"".join(found), "<u8").reshape(-1, 2)


_BATCH_ROWS = 2048  # their bytes are copied twice


def _hash(salted: hashlib._Hash, row: bytes) -> bytes:
    salted.update(row)
    return salted.digest()[:16]


def _rows(table: pa.Table) -> Iterator[bytes]:
    for start in range(0, len(table), _BATCH_ROWS):
        (batch,) = table.slice(start, _BATCH_ROWS).combine_chunks().to_batches()
        yield from side_by_side([cells(column) for column in batch.columns]).rows()


def _type(kind: pa.DataType) -> str:
    return str(getattr(kind, "value_type", kind)) if str(kind).startswith("dictionary") else str(kind)
