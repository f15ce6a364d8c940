"""Files and lines that a listing passes over, counted by reason with a few examples. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NUM_EXAMPLES = 5


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
            names.append(name)

    def clear(self) -> None:
        """Forgets everything, before the same files are listed anew."""
        self.counts.clear()
        self.examples.clear()

    @property
    def total(self) -> int:
        """Number of files and lines, whatever the reason."""
        return sum(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """``{reason: {"count": int, "examples": [str, ...]}}``."""
        return {reason: {"count": number, "examples": self.examples[reason]} for reason, number in self.counts.items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PassedOver:
        """The inverse of `to_json`."""
        return cls(
            {reason: entry["count"] for reason, entry in content.items()},
            {reason: list(entry["examples"]) for reason, entry in content.items()},
        )
