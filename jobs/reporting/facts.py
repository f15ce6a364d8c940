"""Facts by which people recognise a run in its report. Collected on the driver when the run ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from actors.messages import redacted
from actors.models.names import model_name
from jobs.datasets.paths import dataset_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.writing.records import Record
    from jobs.job import Job


@dataclass(frozen=True)
class Facts:
    """Identity of a run in words, and its times as UTC in ISO 8601."""

    model: str = ""
    """Name for people; see `actors.models.names`."""
    dataset: str = ""
    """Kind and path."""
    output: str = ""
    inventory_digest: str = ""
    """Digest of the list of images."""
    started_at: str = ""
    """Start of the command; of a run that slices share, its opening."""
    ended_at: str = ""

    @classmethod
    def of(cls, job: Job, record: Record, root: str, elapsed_s: Mapping[str, float]) -> Facts:
        """Facts of a run below ``root`` that ends now, after phases of ``elapsed_s`` seconds."""
        now = datetime.now(UTC)
        started = (now - timedelta(seconds=sum(elapsed_s.values()))).isoformat(timespec="milliseconds")
        model = job.model
        return cls(
            model=model_name(model.source, model.architecture, model.checkpoint),
            dataset=dataset_name(job.dataset.kind, job.dataset.path),
            output=redacted(root),
            inventory_digest=record.inventory_digest,
            started_at=started if elapsed_s else record.opened_at,
            ended_at=now.isoformat(timespec="milliseconds"),
        )
