from __future__ import annotations

import pyarrow as pa
import pytest

from jobs.comparison.answers import Answers
from jobs.comparison.boxes import BoxAnswers
from jobs.comparison.classes import ClassAnswers
from jobs.comparison.pixels import PixelAnswers
from jobs.comparison.values import RawAnswers, RegressAnswers
from jobs.comparison.vectors import VectorAnswers

SCHEMA = pa.schema([("embedding", pa.list_(pa.float16(), 4))])


@pytest.mark.parametrize(
    "answers",
    [
        ClassAnswers(),
        BoxAnswers(),
        PixelAnswers(),
        *(kind(SCHEMA, SCHEMA) for kind in (RawAnswers, RegressAnswers, VectorAnswers)),
    ],
)
def test_the_columns_of_no_pairs_are_those_of_all_pairs(answers: Answers) -> None:
    """They define the table of measured pairs; the names are ours and need no quotes."""
    both = [pa.field(f"{side}_{field.name}", field.type) for side in "ab" for field in answers.kept]
    empty = pa.schema([pa.field("a", pa.int64()), pa.field("b", pa.int64()), *both]).empty_table()
    measured = answers.measure(empty)
    assert len(measured) == 0
    assert all(name.isidentifier() and name not in ("a", "b") for name in measured.column_names)
    assert set(answers.limits) <= {"max_flip_ratio", "max_drift"}
    assert answers.batch_rows >= 1
