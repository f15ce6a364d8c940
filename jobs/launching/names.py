"""How a RayJob is named, so that the same tick finds the one that is there. Runs in the launcher's container."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from actors.errors import JobError


@dataclass(frozen=True)
class RunName:
    """The name of a run, or of one slice of it, and of the RayJobs that are its attempts."""

    run_id: str
    slice: int = 0
    slices: int = 1

    @property
    def overrides(self) -> str:
        """What the job is told beside what the template tells it."""
        return f"run.id={self.run_id}" + (f" run.slices={self.slices} run.slice={self.slice}" * (self.slices > 1))

    def attempt(self, number: int) -> str:
        """The RayJob of attempt ``number``, from 1: the run's own name, with -s0, -s1, ... for its slices, then with
        -2, -3, and so on.

        Raises:
            JobError: KubeRay would refuse it.
        """
        own = self.run_id if self.slices == 1 else f"{self.run_id}-s{self.slice}"
        name = own if number == 1 else f"{own}-{number}"
        if len(name) > _MAX_CHARS or not _DNS_LABEL.fullmatch(name):
            raise JobError(
                f"{name}: no name for a RayJob",
                cure=f"use small letters, digits and dashes, a letter first, and {_MAX_CHARS} characters at most, "
                "13 of them for the tick: give the template or the Job another name",
            )
        return name


def name_of_tick(base: str, tick: str) -> RunName:
    """The run of a moment that is written as ISO 8601, such as ``2026-11-22T02:00Z``; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(tick)
    except ValueError:
        raise JobError(f"--tick={tick}: no moment", cure="write it as in --tick=2026-11-22T02:00Z") from None
    return _at(base, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def name_of_job(base: str, job: str) -> RunName:
    """The run of a Kubernetes Job. One that a CronJob made ends in its tick, in minutes since 1970
    (``getTimeHashInMinutes`` of Kubernetes); any other gives its own name, so that it too is the same at each retry.
    """
    minutes = re.search(r"-(\d{8})$", job)
    if minutes:
        return _at(base, datetime.fromtimestamp(int(minutes.group(1)) * 60, UTC))
    return RunName(f"{base}-{job.removeprefix(f'{base}-')}")


def _at(base: str, moment: datetime) -> RunName:
    return RunName(f"{base}-{moment.astimezone(UTC):%Y%m%d%H%M}")


# KubeRay makes the names of clusters, services and pods from that of a RayJob (`MaxRayJobNameLength`).
_MAX_CHARS = 47
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
