"""Groups neighbouring rows of a shard to read together. Used by the layouts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.columns import FILE, OFFSET, SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

SPAN_BYTES = 4 << 20  # limit of one request, unless a single member is larger
GAP_BYTES = 64 << 10  # limit of unused bytes between two members: fewer cost less than another request


@dataclass
class Span:
    """Members of one file, as (offset, size) in bytes, read with one request."""

    uri: str
    start: int
    size: int
    members: list[tuple[int, int]]

    def take(self, uri: str, offset: int, size: int) -> bool:
        """Adds a member if it follows the last one closely; returns True if it does."""
        gap = offset - (self.start + self.size)  # negative if a row goes back, as for a hard link in a tar
        if uri != self.uri or not 0 <= gap <= GAP_BYTES or self.size + gap + size > SPAN_BYTES:
            return False
        self.size += gap + size
        self.members.append((offset, size))
        return True


def spans(rows: pa.Table) -> Iterator[Span]:
    """Yields the spans of rows of `Layout.RANGES`, in order."""
    span: Span | None = None
    for uri, offset, size in zip(*(rows[name].to_pylist() for name in (FILE, OFFSET, SIZE)), strict=True):
        if span is None or not span.take(uri, offset, size):
            if span is not None:
                yield span
            span = Span(uri, offset, size, [(offset, size)])
    if span is not None:
        yield span


def ascending_runs(rows: pa.Table) -> Iterator[tuple[str, list[int]]]:
    """Yields rows of `Layout.ROWS` in order, as runs of ascending row numbers in one Parquet file."""
    run_uri, numbers = "", list[int]()
    for uri, number in zip(rows[FILE].to_pylist(), rows[OFFSET].to_pylist(), strict=True):
        if numbers and (uri != run_uri or number <= numbers[-1]):
            yield run_uri, numbers
            numbers = []
        run_uri = uri
        numbers.append(number)
    if numbers:
        yield run_uri, numbers
