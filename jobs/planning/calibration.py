"""Measured cost of an image on a worker, and the batch size derived from it. Runs on the driver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from actors.trials.engine_trial import Rates
from actors.trials.sampling import Costs


@dataclass(frozen=True)
class Calibration:
    """Measurements on images of the dataset, by a single worker on an idle cluster."""

    costs: Costs
    """Seconds to read and decode an image."""
    rates: Rates
    """Images per second of the chosen engine, by batch size, and memory of its process."""

    @classmethod
    def from_json(cls, content: dict[str, Any] | None) -> Calibration | None:
        """Parses the output of `dataclasses.asdict` after a round trip through JSON."""
        if content is None:
            return None
        costs, rates = content["costs"], content["rates"]
        images_per_s = {int(size): rate for size, rate in rates["images_per_s"].items()}
        return cls(Costs(costs["read_s"], costs["decode_s"]), Rates(images_per_s, rates["worker_bytes"]))

    def scaled(self, ratio: float) -> Calibration:
        """Returns the estimate for an engine that is ``ratio`` times as fast."""
        images_per_s = {size: ratio * rate for size, rate in self.rates.images_per_s.items()}
        return replace(self, rates=replace(self.rates, images_per_s=images_per_s))

    def batch_size(self, usual: int) -> int:
        """Returns the fastest batch size, or ``usual`` if the gain is within the noise."""
        rates = self.rates.images_per_s
        best = max(rates, key=rates.__getitem__, default=usual)
        return best if rates.get(best, 0.0) > _NOISE * rates.get(usual, 0.0) else usual


_NOISE = 1.1  # ratio of rates below which they count as equal
