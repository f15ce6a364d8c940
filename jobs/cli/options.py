"""Handles options that begin with dashes: converts ours to keys, and rejects unknown ones. Runs on the driver, before
Hydra.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from actors.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Sequence


def expand_options(arguments: Sequence[str]) -> list[str]:
    """Replaces ``--dry-run`` and ``--help=all`` with what Hydra understands.

    Raises:
        JobError: unknown option.
    """
    return [word for argument in arguments for word in _expanded(argument)]


def _expanded(argument: str) -> list[str]:
    if argument in _OURS:
        return _OURS[argument]
    name = argument.partition("=")[0]
    if not name.startswith("-") or name in _HYDRAS:
        return [argument]
    close = get_close_matches(name, [*_HYDRAS, *_OURS], n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise JobError(
        f"{argument}: there is no such option",
        fix=f"{meant}keys are written without dashes, as KEY=VALUE; --help shows both",
    )


_OURS = {
    "--dry-run": ["run.plan_only=true"],
    "--help=all": ["--help", "hydra/help=whole"],
}
# Of Hydra 1.3.
_HYDRAS = (
    *("--help", "-h", "--hydra-help", "--version", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
)
