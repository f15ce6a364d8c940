"""Events that the ledger reports to the driver. Used on driver and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from actors.tracking.attempts import Work


class LedgerEvent(NamedTuple):
    """One line for people, with the shard and worker it concerns for machines."""

    text: str
    shard: int | None = None
    worker: str | None = None

    @classmethod
    def of(cls, work: Work, worker: str, text: str) -> Self:
        """An event about ``work`` of ``worker``. If the work spans several shards, the first one is named."""
        return cls(text, shard=work.first[0] if work.first else None, worker=worker)

    @property
    def log_fields(self) -> dict[str, int | str]:
        """Shard and worker by name, as far as they are known: fields of a structured log record."""
        known = {"shard": self.shard, "worker": self.worker}
        return {name: value for name, value in known.items() if value is not None}
