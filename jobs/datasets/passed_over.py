"""Files and lines that a listing passes over, counted by reason with a few examples. Runs on the driver."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from actors.messages import redacted
from actors.storage.uris import text_without_users

LOG = logging.getLogger("shardlens")
NUM_EXAMPLES = 5
COMPANION = "companion"
"""The reason of a member of a tar that belongs to an image that is listed, such as its text."""


@dataclass
class PassedOver:
    """Counts by reason. The memory that it takes does not grow with the number of files."""

    counts: dict[str, int] = field(default_factory=dict)
    """Number of files or lines by reason, such as ``extension`` or ``hidden``."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first `NUM_EXAMPLES` names by reason."""

    def add(self, reason: str, name: str, *, number: int = 1) -> None:
        """Counts ``number`` files or lines, of which ``name`` is one."""
        self.counts[reason] = self.counts.get(reason, 0) + number
        names = self.examples.setdefault(reason, [])
        if len(names) < NUM_EXAMPLES:
            names.append(text_without_users(name))

    def clear(self) -> None:
        """Forgets everything, before the same files are listed anew."""
        self.counts.clear()
        self.examples.clear()

    @property
    def is_expected(self) -> bool:
        """Whether nothing that could be an image is among it."""
        return not self.counts.keys() - {COMPANION}

    @property
    def num_visible(self) -> int:
        """Number of those whose names are not hidden: a place with none of these is as good as empty."""
        return self.total - sum(self.counts.get(reason, 0) for reason in ("hidden", "underscore"))

    @property
    def total(self) -> int:
        """Number of files and lines, whatever the reason."""
        return sum(self.counts.values())

    def tell(self) -> None:
        """Logs one line, where there is anything to tell."""
        if self.total:
            level = logging.INFO if self.is_expected else logging.WARNING
            LOG.log(level, "the listing passed over %s: %s", f"{self.total:,}", self)

    def to_json(self) -> dict[str, Any]:
        """``{reason: {"count": int, "examples": [str, ...]}}``."""
        return {reason: {"count": number, "examples": self.examples[reason]} for reason, number in self.counts.items()}

    def __str__(self) -> str:
        """Counts by reason with some names, such as ``7 hidden (/in/.a.jpg, ...), 1 extension (/in/b.txt)``."""
        return ", ".join(f"{number:,} {reason} ({self._names(reason)})" for reason, number in self.counts.items())

    def _names(self, reason: str) -> str:
        names = [redacted(name) for name in self.examples[reason]]
        return ", ".join(names if len(names) == self.counts[reason] else [*names, "..."])

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PassedOver:
        """The inverse of `to_json`."""
        return cls(
            {reason: entry["count"] for reason, entry in content.items()},
            {reason: list(entry["examples"]) for reason, entry in content.items()},
        )
