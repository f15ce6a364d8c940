"""What the ledger tells the driver: lines for people that know what they are about. Used on driver and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from actors.tracking.attempts import Work


class LedgerEvent(str):
    """A line for people, with the shard and the worker that it is about, for machines; None where there is none."""

    __slots__ = ("shard", "worker")
    shard: int | None
    worker: str | None

    def __new__(cls, text: str, *, shard: int | None = None, worker: str | None = None) -> Self:
        news = super().__new__(cls, text)
        news.shard, news.worker = shard, worker
        return news

    @classmethod
    def of(cls, work: Work, worker: str, text: str) -> Self:
        """About ``work`` that ``worker`` had in hand. Of several shards the first is named."""
        return cls(text, shard=work.first[0] if work.first else None, worker=worker)

    @property
    def about(self) -> dict[str, int | str]:
        """What is known of shard and worker, by name."""
        known = {"shard": self.shard, "worker": self.worker}
        return {name: value for name, value in known.items() if value is not None}
