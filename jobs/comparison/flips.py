"""Changes of class, most frequent pairs first, with example images. Runs on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.comparison.answers import Flip, Match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from jobs.comparison.outcomes import Outcomes


def most_frequent_flips(outcomes: Outcomes, flips: str) -> list[Flip]:
    """Counts the pairs of classes in a query.

    Args:
        outcomes: the measured answers.
        flips: a query of ``a`` and ``b``, row numbers; ``before`` and ``after``, classes; ``num``, the number of flips;
            and ``weight``, which ranks the examples of a pair, largest first.
    """
    rows = outcomes.query(f"""
        SELECT before, after, sum(num)::BIGINT AS num, max_by({{a: a, b: b}}, weight, {NUM_EXAMPLES})
        FROM ({flips}) GROUP BY before, after ORDER BY num DESC, before, after LIMIT {MAX_FLIPS}
    """)
    return [Flip(before, after, num, _matches(examples)) for before, after, num, examples in rows]


def examples(outcomes: Outcomes, query: str, limit: int) -> list[Match]:
    """Returns the images of a query of ``a``, ``b`` and ``weight`` with the largest weights."""
    rows = outcomes.query(f"SELECT a, b FROM ({query}) ORDER BY weight DESC NULLS LAST, a LIMIT {limit}")
    return [Match(*row) for row in rows]


def changed_classes(outcomes: Outcomes, sides: Mapping[str, str]) -> list[dict[str, Any]]:
    """Counts each class, most changed first.

    Args:
        outcomes: the measured answers.
        sides: for ``a`` and ``b``, a query of ``class`` and ``flips``, the number of answers with another class in the
            other run, or none.
    """
    columns = {"a": "sum(num), 0, sum(flips), 0", "b": "0, sum(num), 0, sum(flips)"}
    parts = [f"SELECT class, {columns[side]} FROM ({query}) GROUP BY class" for side, query in sides.items()]
    rows = outcomes.query(f"""
        WITH parts(class, num_a, num_b, num_left, num_joined) AS ({" UNION ALL ".join(parts)})
        SELECT class, {", ".join(f"sum({name})::BIGINT" for name in _COUNTS)} FROM parts GROUP BY class
        ORDER BY sum(num_left) + sum(num_joined) DESC, class LIMIT {MAX_FLIPS}
    """)
    return [dict(zip(("class", *_COUNTS), row, strict=True)) for row in rows]


MAX_FLIPS = 1000
"""Maximum number of class pairs, and of classes, in comparison.json."""
NUM_EXAMPLES = 6
_COUNTS = ("num_a", "num_b", "num_left", "num_joined")


def _matches(found: Sequence[Mapping[str, int]]) -> list[Match]:
    # An image may have several boxes with the same change.
    return list(dict.fromkeys(Match(one["a"], one["b"]) for one in found or ()))
