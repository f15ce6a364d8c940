"""Limits on the differences of two runs, which make a comparison a gate for CI. Checked on the driver before and after
the rows are read.
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
    """Raises `JobError` for a limit that no value could keep or exceed.

    Args:
        wanted: the limits.
        task: name of the task.
        limits: those that depend on the task and that it has something for.
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
    """Each limit that is set, its value, what was found, and whether the limit is kept."""
    failed, changes = findings.failures, findings.changes
    # `check_limits` refuses limits on what a task does not have.
    found: dict[str, Any] = {
        "max_flip_ratio": changes.flip_ratio,
        "max_new_errors": failed.num_new,
        "max_drift": changes.drift,
        "max_missing": sum(failed.alone["a"]),
    }
    # The comparison fails for NaN, which keeps no limit.
    return [
        {"limit": name, "value": value, "found": found[name], "is_kept": bool(found[name] <= value)}
        for name, value in _given(wanted)
    ]


def breaches(limits: Sequence[Mapping[str, Any]]) -> list[str]:
    """Messages on the limits that are not kept."""
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
