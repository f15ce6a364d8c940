from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from actors.columns import ERROR, IMAGE_ID, STAGE
from actors.writing.picks import LIMITS, MAX_BYTES, PICKS_KEY, Pick, Ranking, from_footer, merge, pick_rows, to_footer

NUMBERS = np.random.default_rng(0)
NUM_ROWS = 3000


def rows(num_classes: int, *, num_rows: int = NUM_ROWS) -> pa.Table:
    """Returns predicted rows; many have the same score."""
    return pa.table(
        {
            IMAGE_ID: [f"folder/{number:07}.jpg" for number in range(num_rows)],
            STAGE: pa.nulls(num_rows, pa.string()),
            "number": np.arange(num_rows),
            "score": NUMBERS.integers(0, 40, num_rows) / 40,
            "class": NUMBERS.integers(0, num_classes, num_rows),
            "true": NUMBERS.integers(0, num_classes, num_rows),
        }
    )


def rank(table: pa.Table) -> list[Ranking]:
    classes, true = (table[name].cast(pa.string()).to_pylist() for name in ("class", "true"))
    scores = table["score"].to_numpy()
    return [
        Ranking("sample"),
        Ranking("most_confident", -scores),
        Ranking("mistakes", np.where(scores > 0.5, np.nan, scores)),
        Ranking("class", names=pa.array(classes)),
        Ranking("cell", names=pa.array([f"{a}/{b}" for a, b in zip(true, classes, strict=True)])),
    ]


def numbered(part: pa.Table) -> dict[str, list[tuple[float, int, int]]]:
    """Returns the picks of a part, with row numbers instead of positions."""
    numbers = part["number"].to_pylist()
    return {
        name: [(pick.rank, pick.key, numbers[pick.place]) for pick in picks]
        for name, picks in pick_rows(part, rank).items()
    }


def cut(table: pa.Table, num_parts: int) -> Sequence[pa.Table]:
    """Splits rows at random into parts, each in the order of the row numbers; a part may be empty."""
    part = NUMBERS.integers(0, num_parts, len(table))
    return [table.filter(pa.array(part == number)) for number in range(num_parts)]


@pytest.mark.parametrize("num_classes", [3, 2000])
def test_picks_do_not_depend_on_parts_or_their_order(num_classes: int) -> None:
    table = rows(num_classes)
    whole = numbered(table)
    assert all(len(picks) == LIMITS[name.partition("/")[0]].rows for name, picks in whole.items() if num_classes == 3)
    for num_parts in (1, 2, 7, 300):
        parts = [numbered(part) for part in cut(table, num_parts) if len(part)]
        assert merge(parts) == merge(reversed(parts)) == whole
        half = len(parts) // 2
        assert merge([merge(parts[:half]), merge(parts[half:])]) == whole


def test_the_rows_of_a_group_are_the_first_of_its_order() -> None:
    table = rows(3)
    picked = numbered(table)
    best = [table["score"][number].as_py() for _, _, number in picked["most_confident"]]
    assert best == sorted(table["score"].to_pylist(), reverse=True)[:16]
    for name in ("0", "1", "2"):
        assert {table["class"][number].as_py() for _, _, number in picked[f"class/{name}"]} == {int(name)}
    true, own = picked_cell = next(name for name in picked if name.startswith("cell/")).split("/")[1:]
    numbers = [number for _, _, number in picked[f"cell/{'/'.join(picked_cell)}"]]
    assert {(table["true"][n].as_py(), table["class"][n].as_py()) for n in numbers} == {(int(true), int(own))}


def test_a_sample_is_spread_evenly_over_numbered_names() -> None:
    table = rows(3, num_rows=100_000)
    places = np.array([pick.place for pick in pick_rows(table, lambda _: [Ranking("sample")])["sample"]])
    assert len(np.unique(places // 12_500)) == 8
    assert abs(places.mean() - 50_000) < 4 * 100_000 / np.sqrt(12 * len(places))


def test_a_footer_stays_small_with_20_000_classes_and_prefers_wrong_cells() -> None:
    table = rows(20_000, num_rows=16_384)
    table = table.set_column(5, "true", pa.array(np.where(np.arange(len(table)) % 2, table["class"], table["true"])))
    picks = pick_rows(table, rank)
    assert len([name for name in picks if name.startswith("class/")]) == LIMITS["class"].groups
    cells = [name.split("/")[1:] for name in picks if name.startswith("cell/")]
    assert len(cells) == LIMITS["cell"].groups
    assert not [cell for cell in cells if cell[0] == cell[1]]
    assert len(to_footer(picks)) < MAX_BYTES


def test_the_largest_footer_is_within_its_limit() -> None:
    fullest = {
        name[:40]: [[-0.123456, 4294967295 - place, 1_000_000 + place] for place in range(limit.rows)]
        for family, limit in LIMITS.items()
        if family != "error"  # stored in separate parts
        for name in [family if limit.groups == 1 else f"{family}/{group}/{group:09}" for group in range(limit.groups)]
    }
    assert len(json.dumps(fullest, separators=(",", ":"))) < MAX_BYTES


def test_failed_rows_are_picked_by_kind() -> None:
    kinds = ["truncated", "corrupt", "truncated"]
    failed = pa.table({IMAGE_ID: ["a", "b", "c"], STAGE: ["decode"] * 3, ERROR: kinds})
    picks = pick_rows(failed, rank)
    assert {name: sorted(pick.place for pick in found) for name, found in picks.items()} == {
        "error/decode/truncated": [0, 2],
        "error/decode/corrupt": [1],
    }
    strange = failed.set_column(2, ERROR, pa.array(["a" * 99] * 3))
    assert pick_rows(strange, rank) == {}


def test_a_footer_comes_back_and_older_ones_have_no_picks() -> None:
    picks = pick_rows(rows(3), rank)
    assert from_footer({PICKS_KEY: to_footer(picks)}, num_rows=NUM_ROWS) == picks
    assert from_footer({}, num_rows=1) == from_footer(None, num_rows=1) == {}


@pytest.mark.parametrize(
    "content",
    [
        {"class/a": [[0.0, 1, 5]]},
        {"class/a": [[0.0, 1, -1]]},
        {"class/a": [[0.0, 1 << 32, 0]]},
        {"class/a": [[True, 1, 0]]},
        {"class/a": [[0.0, 1]]},
        {"class/a": []},
        {"class/a": {}},
        {"class/a": [[0.0, 1, 0]] * 9},
        {"strangers": [[0.0, 1, 0]]},
        {"class/" + "a" * 99: [[0.0, 1, 0]]},
    ],
)
def test_what_is_not_picks_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match="not picks"):
        from_footer({PICKS_KEY: json.dumps(content).encode()}, num_rows=5)


def test_footers_without_bounds_or_with_nan_are_refused() -> None:
    for data in (b'{"class/a": [[NaN, 1, 0]]}', b"[]", b"{", b" " * (MAX_BYTES + 1), b'{"sample": [[1e999, 1, 0]]}'):
        with pytest.raises(ValueError, match=r"."):
            from_footer({PICKS_KEY: data}, num_rows=5)


def test_a_group_of_a_stranger_does_not_displace_others() -> None:
    many = [{f"class/{number}": [Pick(0.0, number, 0)]} for number in range(5000)]
    merged = merge(many)
    assert len(merged) == LIMITS["class"].groups
    assert merge(reversed(many)) == merged
