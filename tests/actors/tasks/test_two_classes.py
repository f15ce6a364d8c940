from __future__ import annotations

import numpy as np
from scored import Scored

from actors.columns import TARGET
from actors.tasks.two_classes import DECISIONS, count_two_classes


def test_decisions_and_bins_cover_each_row_once() -> None:
    scored = Scored.random(200, 2)
    counts = count_two_classes(scored.rows, scored.labels)
    assert sum(counts[f"binary/{name}"] for name in DECISIONS) == 200
    assert sum(counts[name] for name in counts if name.startswith("binary_")) == 200
    assert len(counts) <= 4 + 2 * 501
    assert count_two_classes(scored.rows.drop_columns([TARGET]), None) == {}


def test_a_class_beyond_the_lists_has_a_score_of_0() -> None:
    scored = Scored.of(np.array([[0.7, 0.2, 0.1]], np.float32), np.array([2]))
    rows = scored.rows.select([TARGET, "label", "label_id"])
    for name in ("top_label_ids", "top_scores"):
        rows = rows.append_column(name, scored.rows[name].combine_chunks().slice(0, 1))
    assert count_two_classes(rows, scored.labels, positive=5)["binary_negative/0"] == 1
