"""The names of submissions: one for each request, with a number for each time that it was sent. Runs on the client."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.job_submission import JobDetails

    from jobs.submission.jobs_api import JobsApi
    from jobs.submission.request import Request


def name_of(request: Request) -> str:
    """The name of the submissions of ``request``, without their number.

    Of a verb that goes on with what there is, the same for the same request, so that Ray itself refuses to run it
    twice at once; of others, such as `verify`, each time another.
    """
    if not request.is_resumed:
        return f"{request.verb}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"
    return "-".join([request.verb, *([request.run_id] if request.run_id else []), request.digest])


def latest(api: JobsApi, name: str) -> tuple[int, JobDetails | None]:
    """The last number under which ``name`` was sent, and how that job stands; 0 and None where it never was."""
    numbers = api.numbers(name)
    return max(numbers.items(), key=lambda item: item[0], default=(0, None))
