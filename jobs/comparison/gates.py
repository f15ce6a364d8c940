"""Limits on the differences between two runs, which make a comparison a CI gate. Checked on the driver before and after
reading the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobs.comparison.config import Compare
    from jobs.comparison.findings import Findings

_BY_TASK = {
    "max_flip_ratio": "its answers name no classes; set compare.max_drift",
    "max_drift": "it has no scores; set compare.max_flip_ratio",
}


def check_limits(wanted: Compare, task: str, limits: Sequence[str]) -> None:
    """Raises `JobError` for a limit that is always kept or always exceeded.

    Args:
        wanted: the limits.
        task: name of the task.
        limits: the task-dependent limits that apply to the task.
    """
    for name, reason in _BY_TASK.items():
        value = getattr(wanted, name)
        if value is not None and name not in limits:
            raise JobError(
                f"compare.{name}={value:g}: task={task} cannot exceed it: {reason.partition(';')[0]}",
                fix=reason.partition("; ")[2],
            )
    for name, value in _given(wanted):
        if not value >= 0 or (name == "max_flip_ratio" and value > 1):
            raise JobError(
                f"compare.{name}={value:g}: {'not from 0 to 1' if name == 'max_flip_ratio' else 'below 0'}",
                fix="limits are shares from 0 to 1, or numbers of images from 0",
            )


def check(wanted: Compare, findings: Findings) -> list[Mapping[str, Any]]:
    """Returns each limit that is set, its value, the actual value, and whether the limit is kept."""
    failed, changes = findings.failures, findings.changes
    # `check_limits` rejects limits that do not apply to the task.
    found: dict[str, Any] = {
        "max_flip_ratio": changes.flip_ratio,
        "max_new_errors": failed.num_new,
        "max_drift": changes.drift,
        "max_missing": sum(failed.alone["a"]),
    }
    # Comparisons with NaN are false, so NaN violates any limit.
    return [
        {"limit": name, "value": value, "found": found[name], "is_kept": bool(found[name] <= value)}
        for name, value in _given(wanted)
    ]


def breaches(limits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns messages about violated limits."""
    return [
        f"compare.{one['limit']}={one['value']:g}: {_NAMES[one['limit']]} {one['found']:.6g}"
        for one in limits
        if not one["is_kept"]
    ]


_NAMES = {
    "max_flip_ratio": "the flip ratio is",
    "max_new_errors": "the number of new errors is",
    "max_drift": "the drift is",
    "max_missing": "the number of images that run B lacks is",
}


def _given(wanted: Compare) -> list[tuple[str, float]]:
    return [(name, getattr(wanted, name)) for name in _NAMES if getattr(wanted, name) is not None]
