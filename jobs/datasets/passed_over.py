"""Counts files and lines that a listing skips, by reason and with a few examples. Runs on the driver."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from actors.messages import redacted
from actors.storage.uris import text_without_users

LOG = logging.getLogger("shardlens")
NUM_EXAMPLES = 5  # for each reason; written to the log and to run.json
COMPANION = "companion"
"""Reason for a tar member that belongs to a listed image, such as its caption."""


@dataclass
class PassedOver:
    """Skipped files and lines by reason. Memory use is independent of their number."""

    counts: dict[str, int] = field(default_factory=dict)
    """Number of files or lines for each reason, such as ``extension`` or ``hidden``."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """First `NUM_EXAMPLES` names for each reason."""

    def add(self, reason: str, name: str, *, number: int = 1) -> None:
        """Counts ``number`` files or lines, of which ``name`` is one."""
        self.counts[reason] = self.counts.get(reason, 0) + number
        names = self.examples.setdefault(reason, [])
        if len(names) < NUM_EXAMPLES:
            names.append(text_without_users(name))

    def clear(self) -> None:
        """Resets the counts before the same files are listed again."""
        self.counts.clear()
        self.examples.clear()

    @property
    def is_expected(self) -> bool:
        """True if nothing that was skipped could be an image."""
        return not self.counts.keys() - {COMPANION}

    @property
    def num_visible(self) -> int:
        """Number of skipped files whose names are not hidden; if zero, the place counts as empty."""
        return self.total - sum(self.counts.get(reason, 0) for reason in ("hidden", "underscore"))

    @property
    def total(self) -> int:
        """Number of skipped files and lines for all reasons."""
        return sum(self.counts.values())

    def log(self) -> None:
        """Logs one line if anything was skipped."""
        if self.total:
            level = logging.INFO if self.is_expected else logging.WARNING
            LOG.log(level, "the listing skipped %s: %s", f"{self.total:,}", self)

    def to_json(self) -> dict[str, Any]:
        """Converts to ``{reason: {"count": int, "examples": [str, ...]}}``."""
        return {reason: {"count": number, "examples": self.examples[reason]} for reason, number in self.counts.items()}

    def __str__(self) -> str:
        """Formats counts and examples, such as ``7 hidden (/in/.a.jpg, ...), 1 extension (/in/b.txt)``."""
        return ", ".join(f"{number:,} {reason} ({self._names(reason)})" for reason, number in self.counts.items())

    def _names(self, reason: str) -> str:
        names = [redacted(name) for name in self.examples[reason]]
        return ", ".join(names if len(names) == self.counts[reason] else [*names, "..."])

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PassedOver:
        """Parses the output of `to_json`."""
        return cls(
            {reason: entry["count"] for reason, entry in content.items()},
            {reason: list(entry["examples"]) for reason, entry in content.items()},
        )
