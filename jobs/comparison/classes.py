"""Compares classes and scores of task=classify and task=zero_shot. Used on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from actors.columns import TARGET
from actors.tasks.accuracy import correct, is_labelled
from jobs.comparison.answers import Changes
from jobs.comparison.distributions import distribution
from jobs.comparison.flips import changed_classes, examples, most_frequent_flips

if TYPE_CHECKING:
    from typing import Any

    from jobs.comparison.answers import Match
    from jobs.comparison.outcomes import Outcomes


class ClassAnswers:
    """The best class of an image flips if its name differs, or its number if the classes of one run have no names. The
    drift is computed from its score.
    """

    columns = ("label_id", "label", "score", TARGET)
    kept = pa.schema(
        [
            pa.field("label_id", pa.int32()),
            pa.field("label", pa.string()),
            pa.field("score", pa.float32()),
            pa.field("is_right", pa.bool_()),
        ]
    )
    batch_rows = 1 << 17
    limits = ("max_flip_ratio", "max_drift")

    def keep(self, rows: pa.Table) -> pa.Table:
        right = correct(rows) if is_labelled(rows) else pa.nulls(len(rows), pa.bool_())
        return pa.table([*(rows[name] for name in self.kept.names[:-1]), right], schema=self.kept)

    def measure(self, pairs: pa.Table) -> pa.Table:
        return pairs.drop_columns(["a", "b"])

    def changes(self, outcomes: Outcomes) -> Changes:
        flipped = f"a_{(own := _identity(outcomes))} IS DISTINCT FROM b_{own}"
        ((num_pairs, num_flips, mean_shift),) = outcomes.query(
            f"SELECT count(*), count(*) FILTER ({flipped}), avg(abs(a_score - b_score)) FROM pairs"
        )
        scores = distribution(outcomes, "score", *(f"SELECT {side}_score AS x FROM pairs" for side in "ab"))
        counted = {
            side: f"SELECT {side}_label AS class, 1 AS num, ({flipped})::INTEGER AS flips FROM pairs" for side in "ab"
        }
        labelled, images = _against_labels(outcomes)
        return Changes(
            num_flips,
            num_flips / num_pairs if num_pairs else 0.0,
            scores.drift if scores else 0.0,
            flips=most_frequent_flips(
                outcomes,
                "SELECT a, b, a_label AS before, b_label AS after, 1 AS num, least(a_score, b_score) AS weight "
                f"FROM pairs WHERE {flipped}",
            ),
            distributions=[scores] if scores else [],
            figures={**({"mean_score_difference": mean_shift} if num_pairs else {}), **labelled},
            classes=changed_classes(outcomes, counted),
            examples=images,
        )


def _identity(outcomes: Outcomes) -> str:
    """Returns the column that identifies the class of an answer."""
    are_named = [
        outcomes.query(f"SELECT coalesce(bool_or(label <> label_id::VARCHAR), false) FROM {side}")[0][0]
        for side in "ab"
    ]
    return "label" if are_named[0] == are_named[1] else "label_id"


def _against_labels(outcomes: Outcomes) -> tuple[dict[str, Any], dict[str, list[Match]]]:
    """Returns figures, and images that improved or got worse, for images with a known class in both runs."""
    known = "FROM pairs WHERE a_is_right IS NOT NULL AND b_is_right IS NOT NULL"
    ((num, right_a, right_b, broken, fixed),) = outcomes.query(f"""
        SELECT count(*), count(*) FILTER (a_is_right), count(*) FILTER (b_is_right),
        count(*) FILTER (a_is_right AND NOT b_is_right), count(*) FILTER (b_is_right AND NOT a_is_right) {known}
    """)
    if not num:
        return {}, {}
    figures = {
        "num_labelled": num,
        "accuracy_a": right_a / num,
        "accuracy_b": right_b / num,
        "num_broken": broken,
        "num_fixed": fixed,
    }
    worse = f"SELECT a, b, b_score AS weight {known} AND a_is_right AND NOT b_is_right"
    better = f"SELECT a, b, b_score AS weight {known} AND b_is_right AND NOT a_is_right"
    return figures, {
        "Right in A, wrong in B": examples(outcomes, worse, _NUM_IMAGES),
        "Wrong in A, right in B": examples(outcomes, better, _NUM_IMAGES),
    }


_NUM_IMAGES = 24
