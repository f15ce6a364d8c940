"""Limits on scores, which make an evaluation a CI gate. Checked on the driver before and after the run."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobs.evaluating.config import Evaluate

PERCENT = ("top1", "top1_err", "top5", "top5_err")
"""Scores in percent, as in timm; their limits are shares."""


def check_limits(wanted: Evaluate, names: Sequence[str]) -> None:
    """Raises `JobError` for a limit on a score that the task does not yield, or a limit above 1 on a share.

    Args:
        wanted: the limits.
        names: scores of the task.
    """
    for key, name, limit in _limits(wanted):
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = "task.top_k=5 gives it; " if "top5" in name else f"did you mean {close[0]}? " if close else ""
            raise JobError(
                f"{key}.{name}: the task has no score of that name", fix=f"{hint}the scores are {', '.join(names)}"
            )
        if name not in UNBOUNDED and not 0 <= limit <= 1:
            raise JobError(f"{key}.{name}={limit:g}: not from 0 to 1", fix="limits are shares: 0.75 for 75 percent")


UNBOUNDED = ("mse", "rmse", "mae", "r2")


def breaches(wanted: Evaluate, scores: Mapping[str, float]) -> list[str]:
    """Returns messages about violated limits. A score that could not be computed violates any limit."""
    found = []
    for key, name, limit in _limits(wanted):
        if name not in scores:
            found.append(f"{key}.{name}={limit:g}: {name} could not be computed from these images")
            continue
        value = scores[name] / 100 if name in PERCENT else scores[name]
        # Comparisons with NaN are false, so NaN violates any limit.
        if not (value >= limit if key.endswith("under") else value <= limit):
            found.append(f"{key}.{name}={limit:g}: {name} is {value:.6g}")
    return found


def _limits(wanted: Evaluate) -> Iterator[tuple[str, str, float]]:
    for key in ("fail_under", "fail_over"):
        for name, limit in getattr(wanted, key).items():
            yield f"evaluate.{key}", name, limit
