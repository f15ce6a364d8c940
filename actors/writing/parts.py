"""Part files of a run on storage, with the receipts in their footers. Read on the driver, before and after the
pipeline.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from actors.messages import one_line
from actors.row_ranges import count
from actors.storage.damage import is_damage
from actors.storage.json_documents import MAX_BYTES, parse_object
from actors.writing.receipts import PROVENANCE_KEY, Receipt
from actors.writing.run_paths import PART_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.storage.store import Storage


@dataclass(frozen=True)
class Part:
    """One file of a run, as found on storage."""

    uri: str
    size_bytes: int
    receipt: Receipt | None
    """None if the file is damaged or not named like a part."""
    damage: str = ""
    """Reason why a damaged file cannot be read."""
    is_by_gpu: bool = False
    """True if a GPU decoded its images."""


def find_parts(folder: str, storage: Storage, known: Mapping[str, Part]) -> list[Part]:
    """Returns the files that a sink left in ``folder``, with their footers' receipts, sorted by URI.

    Reuses the parts in ``known``, by URI: a part never changes.
    """
    if storage.kind(folder) is None:
        return []
    listed = [row for batch in storage.list(folder) for row in batch.to_pylist() if _is_of_a_sink(row["uri"])]
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        parts = pool.map(lambda row: known.get(row["uri"]) or _read_part(row["uri"], row["size"], storage), listed)
        return sorted(parts, key=lambda part: part.uri)


_FOOTER_THREADS = 16  # concurrent requests to storage


def _is_of_a_sink(uri: str) -> bool:
    """Returns True if a sink wrote the file, complete or not. Other files in the folder are left alone."""
    # Other tools also leave files, such as .DS_Store or Spark's _metadata, which are not ours to delete.
    return uri.rpartition("/")[2].lstrip(".").startswith(("part-", "empty-"))


def _read_part(uri: str, size_bytes: int, storage: Storage) -> Part:
    # Earlier versions staged parts here under names with a leading dot; a killed writer leaves one behind.
    if not PART_NAME.fullmatch(uri.rpartition("/")[2]):
        return Part(uri, size_bytes, None)
    with storage.open(uri) as file:
        try:
            footer = pq.read_metadata(file)
            return Part(uri, size_bytes, _receipt(footer), is_by_gpu=_is_by_gpu(footer.metadata))
        except Exception as error:
            if not is_damage(error):
                raise
            return Part(uri, size_bytes, None, one_line(error))


def _receipt(footer: pq.FileMetaData) -> Receipt | None:
    receipt = Receipt.from_footer(footer.metadata)
    if receipt and (num_rows := count(receipt.ranges)) != footer.num_rows:
        raise ValueError(f"{footer.num_rows:,} rows, and a receipt of {num_rows:,}")
    return receipt


def _is_by_gpu(metadata: Mapping[bytes, bytes] | None) -> bool:
    provenance = (metadata or {}).get(PROVENANCE_KEY, b"{}")
    return parse_object(provenance, max_bytes=MAX_BYTES).get("decode") == "gpu"


def digest_of(name: str) -> str:
    """Returns the first half of a part's SHA-256, in hexadecimal, from the end of its name."""
    return name.removesuffix(".parquet").rpartition("-")[2]
