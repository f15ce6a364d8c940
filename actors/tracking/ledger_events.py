"""Events that the ledger reports to the driver. Used on driver and workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from actors.tracking.attempts import Work


class LedgerEvent(NamedTuple):
    """One human-readable line, with its shard and worker in machine-readable form."""

    text: str
    shard: int | None = None
    worker: str | None = None

    @classmethod
    def of(cls, work: Work, worker: str, text: str) -> Self:
        """Returns an event about ``worker``'s ``work``. If the work spans several shards, names the first one."""
        return cls(text, shard=work.first[0] if work.first else None, worker=worker)

    @property
    def log_fields(self) -> dict[str, int | str]:
        """Shard and worker by name, if known, as fields of a structured log record."""
        known = {"shard": self.shard, "worker": self.worker}
        return {name: value for name, value in known.items() if value is not None}
