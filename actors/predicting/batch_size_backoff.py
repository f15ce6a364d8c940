"""How large batches may be, on a device that has no room for full ones. Used in the predictor."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_WAIT, _LONGEST_WAIT = 8, 1024  # batches


@dataclass
class BatchSizeBackoff:
    """How often the full batch is halved. After a failure it takes some batches until the next larger one is tried,
    and twice as many if that one fails, too.
    """

    number: int = 0
    wait: int = _FIRST_WAIT
    num_well: int = 0
    """Batches in turn that went well."""
    has_grown: bool = False

    def went_wrong(self) -> None:
        if self.has_grown:
            self.wait = min(2 * self.wait, _LONGEST_WAIT)
        self.number, self.num_well, self.has_grown = self.number + 1, 0, False

    def went_well(self) -> None:
        self.num_well += 1
        if self.num_well < self.wait:
            return
        self.num_well = 0
        if self.number:
            self.number, self.has_grown = self.number - 1, True
        else:
            self.wait, self.has_grown = _FIRST_WAIT, False
