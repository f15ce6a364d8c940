from __future__ import annotations

import numpy as np
import pytest

from jobs.verification import row_sets

Rows = set[tuple[int, int]]


def rows_of(array: np.ndarray) -> Rows:
    return {(int(shard), row) for shard, start, stop in array for row in range(start, stop)}


def some_spans(generator: np.random.Generator, number: int) -> np.ndarray:
    starts = generator.integers(0, 12, number)
    stops = starts + generator.integers(1, 5, number)
    return np.column_stack([generator.integers(0, 4, number), starts, stops]).astype(np.int64)


def test_ranges_of_a_receipt() -> None:
    array = row_sets.parse({"3": [[0, 2], [5, 6]], "1": [[7, 9]]})
    assert array.tolist() == [[3, 0, 2], [3, 5, 6], [1, 7, 9]]
    assert row_sets.count(array) == 5
    assert row_sets.count(row_sets.parse({})) == 0


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "x",
        {"a": [[0, 1]]},
        {"0": [[0]]},
        {"0": [[0, 1, 2]]},
        {"0": [0, 1]},
        {"0": [[0, 1.5]]},
        {"0": [["0", "1"]]},
        {"0": [[None, 1]]},
        {"0": [[1, 1]]},
        {"0": [[2, 1]]},
        {"0": [[-1, 1]]},
        {"-1": [[0, 1]]},
        {"0": [[0, 2**31]]},
        {"0": [[0, 2**70]]},
    ],
)
def test_what_are_no_ranges(content: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        row_sets.parse(content)


def test_sets_of_rows_against_sets_of_rows() -> None:
    generator = np.random.default_rng(0)
    for number in [0, 1, 2, 5, 20] * 20:
        listed, found = row_sets.merged(some_spans(generator, 5)), some_spans(generator, number)
        every = [row for span in found for row in rows_of(span[None])]
        cover = row_sets.compare(listed, found)
        assert rows_of(cover.missing) == rows_of(listed) - set(every)
        assert rows_of(cover.never_listed) == set(every) - rows_of(listed)
        assert rows_of(cover.doubled) == {row for row in every if every.count(row) > 1}
        assert rows_of(row_sets.merged(found)) == set(every)
        shards, rows = row_sets.expand(found)
        assert list(zip(shards.tolist(), rows.tolist(), strict=True)) == [
            (int(shard), row) for shard, start, stop in found for row in range(start, stop)
        ]
        mask = generator.random(len(rows)) < 0.5
        chosen = set(zip(shards[mask].tolist(), rows[mask].tolist(), strict=True))
        assert rows_of(row_sets.chosen(found, mask)) == chosen


def test_merged_are_as_few_as_can_be() -> None:
    assert row_sets.merged(np.array([[1, 5, 8], [0, 3, 4], [1, 0, 5], [1, 9, 10]])).tolist() == [
        [0, 3, 4],
        [1, 0, 8],
        [1, 9, 10],
    ]


def test_shards_of_no_rows_and_the_largest_numbers() -> None:
    assert row_sets.of_sizes(np.array([2, 0, 1]), first_shard=64).tolist() == [[64, 0, 2], [66, 0, 1]]
    last = np.array([[2**31 - 1, 0, 2**31 - 1], [2**31 - 2, 0, 2**31 - 1]])
    assert row_sets.merged(last).tolist() == last[::-1].tolist()


def test_texts_name_shards_and_rows() -> None:
    array = np.array([[3, 5, 8], [3, 9, 10], [7, 0, 1]])
    assert list(row_sets.describe(array)) == ["shard 3: rows 5-7, 9 (4 rows)", "shard 7: row 0 (1 row)"]
    assert row_sets.num_shards(array) == 2
    assert list(row_sets.describe(row_sets.NOTHING)) == []
    (text,) = row_sets.describe(np.array([[0, row, row + 1] for row in range(0, 40, 2)]))
    assert text == "shard 0: rows 0, 2, 4, 6, 8, 10, 12, 14, … (20 rows)"
