from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from actors.tasks.detection.tile import Tile, TileMerge
from actors.tasks.detection.tile_merging import TileBoxes, merged

TILE = Tile(100, 20)
PLACES = TILE.places(100, 180)  # 0 to 100, and 80 to 180


def boxes_of(*rows: tuple[list[float], float, int], labels: list[int] | None = None) -> TileBoxes:
    """Returns boxes from corners, score and tile."""
    corners, scores, tiles = zip(*rows, strict=True)
    return TileBoxes(
        np.array(corners, np.float32),
        np.array(scores, np.float32),
        np.array(labels or [0] * len(rows), np.int32),
        np.array(tiles, np.int64),
    )


def kept(found: TileBoxes, tile: Tile = TILE, *, class_agnostic: bool = False) -> list[list[float]]:
    return merged(found, PLACES, tile, class_agnostic=class_agnostic).boxes_xyxy.tolist()


WHOLE, PART = [82, 10, 110, 40], [82, 10, 100, 40]  # one object cut by the border of tile 0


def test_the_whole_view_of_an_object_beats_that_of_its_part_although_the_score_of_the_part_is_higher() -> None:
    found = boxes_of((PART, 0.9, 0), (WHOLE, 0.6, 1))
    # In tile 1, the object starts two pixels from the border: less than 4 in 100, so it counts as cut.
    assert kept(found) == [PART]
    whole = [88, 10, 110, 40]
    assert kept(boxes_of(([88, 10, 100, 40], 0.9, 0), (whole, 0.6, 1))) == [whole]


def test_intersection_over_union_keeps_a_part_that_ios_merges() -> None:
    found = boxes_of(([88, 10, 100, 40], 0.9, 0), ([88, 10, 150, 40], 0.6, 1))
    assert kept(found) == [[88, 10, 150, 40]]
    assert len(kept(found, Tile(100, 20, TileMerge.nms))) == 2


def test_an_object_inside_the_overlap_is_found_once_with_the_better_score() -> None:
    one, other = [85, 10, 95, 20], [85, 11, 95, 20]
    for tile in (TILE, Tile(100, 20, TileMerge.nms)):
        assert kept(boxes_of((one, 0.6, 0), (other, 0.9, 1)), tile) == [other]


def test_neighbours_are_kept_within_a_tile_and_across_the_border() -> None:
    apart = boxes_of(([60, 10, 99, 40], 0.9, 0), ([100, 10, 140, 40], 0.8, 1), ([60, 42, 99, 70], 0.7, 0))
    assert len(kept(apart)) == 3
    # Within one tile, suppression has kept both, such as a child in front of an adult.
    inside = boxes_of(([20, 10, 60, 70], 0.9, 0), ([30, 40, 45, 70], 0.8, 0))
    assert len(kept(inside)) == 2
    # A small object in front of a large one: no border cuts either, although each tile shows only one of them.
    nested = boxes_of(([84, 10, 96, 70], 0.9, 0), ([86, 50, 94, 70], 0.8, 1))
    assert len(kept(nested)) == 2


def test_classes_are_merged_apart_unless_asked() -> None:
    found = boxes_of(([85, 10, 95, 20], 0.9, 0), ([85, 10, 95, 20], 0.8, 1), labels=[1, 2])
    assert len(kept(found)) == 2
    assert len(kept(found, class_agnostic=True)) == 1


def test_pieces_of_a_large_object_give_way_to_its_view_in_the_whole_picture() -> None:
    tile = Tile(100, 20, whole=True)
    places = tile.places(100, 180)
    large = [5.0, 5.0, 175.0, 95.0]
    found = boxes_of(([5, 5, 100, 95], 0.95, 0), ([80, 5, 175, 95], 0.9, 1), (large, 0.7, 2))
    assert merged(found, places, tile).boxes_xyxy.tolist() == [large]


def test_a_box_without_area_overlaps_nothing() -> None:
    assert len(kept(boxes_of(([90, 10, 90, 20], 0.9, 0), ([85, 5, 95, 20], 0.8, 1), ([90, 10, 90, 20], 0.7, 1)))) == 3


def test_without_boxes_nothing_is_merged() -> None:
    empty = TileBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, int))
    assert len(merged(empty, PLACES, TILE).scores) == 0


@pytest.mark.parametrize("merge", list(TileMerge))
@pytest.mark.parametrize("number", [1, 40, 700])
def test_the_sweep_equals_going_box_by_box(merge: TileMerge, number: int) -> None:
    rng = np.random.default_rng(number)
    tile = Tile(200, 0.4, merge, match=0.3)
    places = tile.places(900, 1000)
    tiles = rng.integers(0, len(places), number)
    starts = places[tiles, :2] + rng.uniform(0, 150, (number, 2))
    sides = rng.uniform(5, 120, (number, 2))
    boxes = np.concatenate([starts, np.minimum(starts + sides, places[tiles, 2:])], axis=1).astype(np.float32)
    labels = rng.integers(0, 3, number).astype(np.int32)
    scores = rng.permutation(number).astype(np.float32) / number
    found = TileBoxes(boxes, scores, labels, tiles)
    assert merged(found, places, tile).scores.tolist() == sorted(scores[_plain(found, places, tile)], reverse=True)


def _plain(found: TileBoxes, places: np.ndarray, tile: Tile) -> list[int]:
    """Applies the same rule pair by pair."""
    is_ios = tile.merge is TileMerge.ios
    cut = []
    for (left, top, right, bottom), number in zip(found.boxes_xyxy, found.tiles, strict=True):
        x0, y0, x1, y1 = places[number]
        sides = [x0 > 0 and left < x0 + 8, y0 > 0 and top < y0 + 8, x1 < 1000 and right > x1 - 8]
        cut.append(is_ios and any([*sides, y1 < 900 and bottom > y1 - 8]))
    remaining: list[int] = []
    for one in sorted(range(len(cut)), key=lambda place: (cut[place], -found.scores[place])):
        same = [
            other
            for other in remaining
            if found.label_ids[other] == found.label_ids[one] and found.tiles[other] != found.tiles[one]
        ]
        if not any(
            _overlap(found.boxes_xyxy[[one, other]], over_smaller=cut[one] or cut[other]) > tile.match for other in same
        ):
            remaining.append(one)
    return remaining


def _overlap(pair: np.ndarray, *, over_smaller: bool) -> float:
    pair = pair.astype(float)
    both = np.prod(np.clip(pair[:, 2:].min(axis=0) - pair[:, :2].max(axis=0), 0, None))
    areas = (pair[:, 2:] - pair[:, :2]).prod(axis=1)
    return float(both / (areas.min() if over_smaller else areas.sum() - both))


def test_random_boxes_do_overlap() -> None:
    """Without overlapping boxes, the comparison above would be empty."""
    rng = np.random.default_rng(700)
    starts = rng.uniform(0, 900, (100, 2))
    assert any((abs(one - other) < 60).all() for one, other in combinations(starts, 2))
