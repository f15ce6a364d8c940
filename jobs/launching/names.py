"""Names of RayJobs. The same tick always has the same name, and thus finds its RayJob. Runs in the launcher's
container.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from actors.errors import JobError


@dataclass(frozen=True)
class RunName:
    """Name of a run, or of one slice of it, and of the RayJobs that are its attempts."""

    run_id: str
    slice: int = 0
    slices: int = 1

    @property
    def overrides(self) -> str:
        """Overrides added to those of the template."""
        return f"run.id={self.run_id}" + (f" run.slices={self.slices} run.slice={self.slice}" * (self.slices > 1))

    def attempt(self, number: int) -> str:
        """Returns the RayJob name of attempt ``number``, from 1: the name of the run, then -s0, -s1, ... for its
        slices, then -2, -3 and so on for further attempts.

        Raises:
            JobError: KubeRay would reject the name.
        """
        # Derived, never random: launchers that start concurrently, or again, arrive at the same names.
        own = self.run_id if self.slices == 1 else f"{self.run_id}-s{self.slice}"
        name = own if number == 1 else f"{own}-{number}"
        if len(name) > _MAX_CHARS or not _DNS_LABEL.fullmatch(name):
            raise JobError(
                f"{name}: not a valid name for a RayJob",
                fix="rename the template or the Job: lower-case letters, digits and dashes, a letter first, at most "
                f"{_MAX_CHARS} characters, of which the tick takes 13",
            )
        return name


def name_of_tick(base: str, tick: str) -> RunName:
    """Returns the run of a time in ISO 8601, such as ``2026-11-22T02:00Z``; UTC unless it has a zone."""
    try:
        moment = datetime.fromisoformat(tick)
    except ValueError:
        raise JobError(f"--tick={tick}: not a time", fix="use ISO 8601, as in --tick=2026-11-22T02:00Z") from None
    return _at(base, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def name_of_job(base: str, job: str) -> RunName:
    """Returns the run of a Kubernetes Job. The name of a CronJob's Job ends in its tick, in minutes since 1970
    (``getTimeHashInMinutes`` in Kubernetes). Any other Job passes on its own name, which a retry keeps.
    """
    minutes = re.search(r"-(\d{8})$", job)  # 8 digits from 1989 until 2160
    if minutes:
        return _at(base, datetime.fromtimestamp(int(minutes.group(1)) * 60, UTC))
    # `kubectl create job --from=cronjob/NAME` accepts any name, which often begins with that of the template.
    return RunName(f"{base}-{job.removeprefix(f'{base}-')}")


# In UTC: local times repeat an hour in autumn, and two ticks would share a run.
def _at(base: str, moment: datetime) -> RunName:
    return RunName(f"{base}-{moment.astimezone(UTC):%Y%m%d%H%M}")


# KubeRay derives the names of clusters, services and pods from that of a RayJob (`MaxRayJobNameLength`).
_MAX_CHARS = 47
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")  # of RFC 1035: a letter first (`ValidateRayJobMetadata`)
