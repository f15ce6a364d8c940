"""Digest of rows, independent of their order and division into files. A run that was killed and resumed has the digest
of an undisturbed one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from jobs.verification.row_bytes import cells, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

MODULUS = 1 << 128  # a sum, because with exclusive or two equal rows would cancel out


def rows_digest(table: pa.Table) -> int:
    """Returns the sum of the row hashes modulo `MODULUS`. Digests of several tables add up the same way.

    Columns are matched by name, in any order. Values are compared bitwise: 0.0 differs from -0.0.
    """
    digests = row_hashes(table)
    # Sums of 32-bit words: uint64 holds 2**32 of them without overflow.
    columns = digests.view("<u4").reshape(-1, 4).sum(axis=0, dtype=np.uint64)
    return sum(int(number) << (32 * place) for place, number in enumerate(columns)) % MODULUS


def row_hashes(table: pa.Table) -> np.ndarray:
    """Returns the first 128 bits of SHA-256 over column names, column types and each row, as uint64 of shape (n, 2)."""
    table = table.select(sorted(table.column_names))
    columns = "\n".join(f"{field.name}:{_type(field.type)}" for field in table.schema)
    salted = hashlib.sha256(f"{columns}\0".encode())
    found = [_hash(salted.copy(), row) for row in _rows(table)]
    return np.frombuffer(b"".join(found), "<u8").reshape(-1, 2)


# Not SQL: DuckDB cannot return the bytes of a number, which determine the digests of all earlier outputs.
_BATCH_ROWS = 2048  # bounds memory: the bytes of each batch are copied twice


def _hash(salted: hashlib._Hash, row: bytes) -> bytes:
    salted.update(row)
    return salted.digest()[:16]


def _rows(table: pa.Table) -> Iterator[bytes]:
    for start in range(0, len(table), _BATCH_ROWS):
        (batch,) = table.slice(start, _BATCH_ROWS).combine_chunks().to_batches()
        yield from side_by_side([cells(column) for column in batch.columns]).rows()


def _type(kind: pa.DataType) -> str:
    return str(getattr(kind, "value_type", kind)) if str(kind).startswith("dictionary") else str(kind)
