"""Images that killed their workers and must not be touched again. Part of the ledger."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from actors.errors import ImageError
    from actors.tracking.attempts import Row, Work


class Case(NamedTuple):
    """The reason for an image's quarantine."""

    error: ImageError
    batch: Row | None
    """First row of the batch that contained the image."""


class Quarantine:
    """Quarantined images, by the stage of the work they stopped."""

    def __init__(self) -> None:
        self._cases: dict[tuple[str, int], dict[int, Case]] = {}  # by stage and shard
        self._num_images: Counter[str] = Counter()

    def add(self, stage: str, image: Row, case: Case) -> None:
        shard, row = image
        self._cases.setdefault((stage, shard), {})[row] = case
        self._num_images[stage] += 1

    def num_images(self, stage: str) -> int:
        return self._num_images[stage]

    def within(self, work: Work) -> dict[Row, Case]:
        """Returns the quarantined images among the rows of ``work``."""
        if isinstance(work.what, str):
            return {}
        return {
            (piece.shard, row): case
            for piece in work.what
            for row, case in self._cases.get((work.stage, piece.shard), {}).items()
            if any(start <= row < stop for start, stop in piece.ranges)
        }
