"""Mergeable aggregates of predicted rows: counts and sums, never averages. Built by the sink, merged on the driver."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.columns import (
    DECODE_CHECK,
    DECODE_S,
    DRAWN,
    ERROR,
    FLAT,
    MESSAGE,
    PREDICT_S,
    READ_S,
    STAGE,
    URI,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class Summary:
    """Totals over a set of rows.

    ``num_ok`` and ``num_errors`` count images. Seconds are summed over all workers. ``error_kinds`` counts errors by
    ``stage/kind``, and ``error_examples`` contains the URI and message of a few errors of each kind. Of the images
    decoded on a GPU, the CPU decoded ``num_gpu_flat`` again because they had a single colour, and ``num_gpu_drawn`` for
    comparison. ``counters`` contains the task's counts by name: see `actors.tasks.base.Task.counts`.
    """

    num_ok: int = 0
    num_errors: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0
    predict_s: float = 0.0
    error_kinds: dict[str, int] = field(default_factory=dict)
    error_examples: dict[str, list[list[str]]] = field(default_factory=dict)
    num_gpu_flat: int = 0
    num_gpu_drawn: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table, counters: Mapping[str, int] | None = None) -> Summary:
        """Returns the totals over a block from the predictor, with the task's ``counters`` over the same rows."""
        errors = _errors(table)
        error_kinds = Counter(kind for kind, _ in errors)
        return cls(
            num_ok=len(table) - error_kinds.total(),
            num_errors=error_kinds.total(),
            read_s=_total(table, READ_S),
            decode_s=_total(table, DECODE_S),
            predict_s=_total(table, PREDICT_S),
            error_kinds=_sum(error_kinds),
            error_examples=_examples(errors),
            num_gpu_flat=_num_checked(table, FLAT),
            num_gpu_drawn=_num_checked(table, DRAWN),
            counters=_sum(counters or {}),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Summary:
        """Parses a summary from a footer, possibly written by another version or program.

        Raises:
            ValueError: it is not a summary.
        """
        content = _with_counters(content)
        unknown = [key for key, value in content.items() if key not in _CHECKS or not _CHECKS[key](value)]
        if unknown:
            raise ValueError(f"not a summary: {unknown[0]}={content[unknown[0]]!r:.100}")
        return cls(**content)

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            num_ok=self.num_ok + other.num_ok,
            num_errors=self.num_errors + other.num_errors,
            read_s=self.read_s + other.read_s,
            decode_s=self.decode_s + other.decode_s,
            predict_s=self.predict_s + other.predict_s,
            error_kinds=_sum(self.error_kinds, other.error_kinds),
            error_examples=_examples(
                (kind, example)
                for examples in (self.error_examples, other.error_examples)
                for kind, some in examples.items()
                for example in some
            ),
            num_gpu_flat=self.num_gpu_flat + other.num_gpu_flat,
            num_gpu_drawn=self.num_gpu_drawn + other.num_gpu_drawn,
            counters=_sum(self.counters, other.counters),
        )

    @property
    def num_images(self) -> int:
        return self.num_ok + self.num_errors


def total(summaries: Iterable[Summary]) -> Summary:
    """Adds up ``summaries``."""
    return sum(summaries, start=Summary())


_MAX_EXAMPLES = 3  # per kind of error, to keep footers small

# Fields of summaries written before tasks had their own counters, and their current names.
_FORMER_FIELDS = {"num_labelled": "accuracy/num_labelled", "num_correct": "accuracy/num_correct"}


def _with_counters(content: Mapping[str, Any]) -> dict[str, Any]:
    # Runs of earlier versions can be resumed, and their receipts are added to new ones.
    former = {counter: content[name] for name, counter in _FORMER_FIELDS.items() if name in content}
    if not former:
        return dict(content)
    return {name: value for name, value in content.items() if name not in _FORMER_FIELDS} | {"counters": former}


def _sum(*counts: Mapping[str, int]) -> dict[str, int]:
    """Adds up counts by name, sorted; omits zeros."""
    totals: Counter[str] = Counter()
    for each in counts:
        totals.update(each)
    return {name: number for name, number in sorted(totals.items()) if number}


def _errors(table: pa.Table) -> list[tuple[str, list[str]]]:
    """Returns the ``stage/kind``, URI and message of each row with an error."""
    failed = table.filter(pc.is_valid(table[STAGE]))
    columns = (failed[name].to_pylist() for name in (STAGE, ERROR, URI, MESSAGE))
    return [(f"{stage}/{kind}", [uri, message]) for stage, kind, uri, message in zip(*columns, strict=True)]


def _examples(errors: Iterable[tuple[str, list[str]]]) -> dict[str, list[list[str]]]:
    examples: dict[str, list[list[str]]] = {}
    for kind, example in errors:
        some = examples.setdefault(kind, [])
        if len(some) < _MAX_EXAMPLES:
            some.append(example)
    return examples


def _total(table: pa.Table, column: str) -> float:
    return float(pc.sum(table[column]).as_py() or 0.0)  # of float32, in float64


def _num_checked(table: pa.Table, reason: str) -> int:
    if DECODE_CHECK not in table.column_names:
        return 0
    return int(pc.sum(pc.equal(table[DECODE_CHECK], reason)).as_py() or 0)


def _is_count(value: Any) -> bool:
    # Not isinstance: JSON's true is an int in Python.
    return type(value) is int and value >= 0


def _is_seconds(value: Any) -> bool:
    # NaN, which Python's JSON accepts, fails the comparison.
    return type(value) in (int, float) and value >= 0


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_count, value.values()))


def _are_examples(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(some, list) and some and all(_is_example(one) for one in some) for some in value.values()
    )


def _is_example(value: Any) -> bool:
    return isinstance(value, list) and [type(text) for text in value] == [str, str]  # URI, message


_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("num_ok", "num_errors"), _is_count),
    **dict.fromkeys(("num_gpu_flat", "num_gpu_drawn"), _is_count),
    **dict.fromkeys(("read_s", "decode_s", "predict_s"), _is_seconds),
    "error_kinds": _are_counts,
    "counters": _are_counts,
    "error_examples": _are_examples,
}
