"""Scores by tenth: a part of the summary of tasks with scores. Counted in the sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

SCORES, OUTSIDE = "score_histogram/", "score_histogram_outside/num"


def count_scores(scores: pa.ChunkedArray) -> dict[str, int]:
    """Counts scores by tenth, as ``score_histogram/0.30`` for scores from 0.3 to 0.4; the last also includes 1.

    Scores below 0 or above 1, such as those of logits, count as `OUTSIDE`. Null and NaN are not counted.
    """
    values = scores.drop_null().to_numpy()
    is_inside = (values >= 0) & (values <= 1)
    tenths = np.bincount(np.minimum(values[is_inside] * 10, 9).astype(int), minlength=10)
    counts = {f"{SCORES}{tenth / 10:.2f}": int(number) for tenth, number in enumerate(tenths)}
    counts[OUTSIDE] = int(((values < 0) | (values > 1)).sum())
    return {name: number for name, number in counts.items() if number}
