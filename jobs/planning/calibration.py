"""What an image was found to take on a worker, and what that says of the plan. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs


@dataclass(frozen=True)
class Calibration:
    """Measured on images of the dataset, by one worker that was alone."""

    costs: Costs
    """Until its pixels are there."""
    rates: Rates
    """Of the engine that was chosen."""

    @classmethod
    def from_json(cls, content: dict[str, Any] | None) -> Calibration | None:
        """From what `dataclasses.asdict` made of one, through JSON."""
        if content is None:
            return None
        costs, rates = content["costs"], content["rates"]
        images_per_s = {int(size): rate for size, rate in rates["images_per_s"].items()}
        return cls(Costs(costs["read_s"], costs["decode_s"]), Rates(images_per_s, rates["worker_bytes"]))

    def batch_size(self, usual: int) -> int:
        """The fastest one; ``usual`` unless that one is faster by more than the noise."""
        rates = self.rates.images_per_s
        best = max(rates, key=rates.__getitem__, default=usual)
        return best if rates.get(best, 0.0) > _NOISE * rates.get(usual, 0.0) else usual


_NOISE = 1.1
