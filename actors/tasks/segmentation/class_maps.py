"""Class maps at the size of the source image, from the logits or classes that a network returns for a grid. Runs in the
predictor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.tasks.segmentation.grids import GridAxis


_UINT8, _UINT16 = 0xFF, 0xFFFF


def void_of(num_classes: int) -> int:
    """Returns the value of pixels without a class: the highest of uint8 for up to 255 classes, otherwise of uint16."""
    return _UINT8 if num_classes <= _UINT8 else _UINT16


def map_logits(logits_chw: np.ndarray, axes: Sequence[GridAxis]) -> np.ndarray:
    """Returns the class with the highest logit for each source pixel after bilinear interpolation, like PyTorch's
    ``interpolate`` with align_corners=False and argmax, except if two classes tie up to rounding.

    A class that leads in all four cells around a pixel also leads in between, so only border cells are interpolated,
    and only for classes that can lead. Memory beyond the result does not grow with the source.

    Args:
        logits_chw: float32 (classes, h, w), all finite.
        axes: positions of the source's rows and columns in the grid.

    Returns:
        uint8 or uint16 (height, width); `void_of` the number of classes if the source pixel was cropped away.
    """
    rows, columns = axes
    num_classes, _, width = logits_chw.shape
    void = void_of(num_classes)
    class_map = np.full((rows.source, columns.source), void, np.min_scalar_type(void))
    shown = class_map[rows.first : rows.stop, columns.first : columns.stop]
    if not shown.size:
        return class_map
    best = argmax(logits_chw).astype(class_map.dtype)
    is_mixed = _mixed(best)
    for strip in _strips(rows, shown.shape[1], num_classes * width):
        lower = rows.lower[strip]
        shown[strip] = best[lower][:, columns.lower]
        used = slice(int(lower[0]), int(lower[-1]) + 2)
        part = replace(rows, lower=lower - used.start, weight=rows.weight[strip])
        _draw_borders(shown[strip], logits_chw[:, used], is_mixed[used], (part, columns))
    return class_map


def map_classes(ids_hw: np.ndarray, axes: Sequence[GridAxis], num_classes: int) -> np.ndarray:
    """Returns the class of each source pixel, that of the cell that contains its centre.

    Args:
        ids_hw: classes of the grid, of any numeric type; classes from ``num_classes`` on become void.
        axes: as in `map_logits`.
        num_classes: determines the type and the void value; see `void_of`.

    Returns:
        See `map_logits`.
    """
    rows, columns = axes
    void = void_of(num_classes)
    dtype = np.min_scalar_type(void)
    cells = np.where((ids_hw >= 0) & (ids_hw < num_classes), ids_hw, void).astype(dtype)
    class_map = np.full((rows.source, columns.source), void, dtype)
    class_map[rows.first : rows.stop, columns.first : columns.stop] = cells[rows.nearest][:, columns.nearest]
    return class_map


def argmax(logits_chw: np.ndarray) -> np.ndarray:
    """Computes ``logits_chw.argmax(axis=0)``, uint16, in a fifth of the time."""
    highest = logits_chw[0].copy()
    best = np.zeros(highest.shape, np.uint16)
    for class_id, logits_hw in enumerate(logits_chw[1:], 1):
        is_higher = logits_hw > highest
        np.copyto(highest, logits_hw, where=is_higher)
        np.copyto(best, np.uint16(class_id), where=is_higher)
    return best


def count_classes(class_map_hw: np.ndarray) -> np.ndarray:
    """Returns the number of pixels of each value in a map, int64."""
    length = int(class_map_hw.max(initial=0)) + 1
    totals = np.zeros(length, np.int64)
    for first in range(0, len(class_map_hw), rows := max(1, _STRIP // max(1, class_map_hw.shape[1]))):
        totals += np.bincount(class_map_hw[first : first + rows].ravel(), minlength=length)
    return totals


_STRIP = 1 << 20  # source pixels or logits processed at once


def _strips(rows: GridAxis, width: int, logits_a_row: int) -> Iterator[slice]:
    """Yields slices of the shown rows, each with at most about `_STRIP` pixels and `_STRIP` logits."""
    num_rows = len(rows.lower)
    cells_a_row = max(1e-9, float(rows.lower[-1] - rows.lower[0]) / num_rows)
    step = max(1, int(min(_STRIP / width, _STRIP / logits_a_row / cells_a_row)))
    return (slice(first, min(first + step, num_rows)) for first in range(0, num_rows, step))


def _mixed(best_hw: np.ndarray) -> np.ndarray:
    """Returns True for cells that differ from the next one to the right, below, or both."""
    after = np.pad(best_hw, ((0, 1), (0, 1)), mode="edge")
    is_mixed: np.ndarray = (best_hw != after[:-1, 1:]) | (best_hw != after[1:, :-1]) | (best_hw != after[1:, 1:])
    return is_mixed


def _draw_borders(shown: np.ndarray, logits_chw: np.ndarray, is_mixed: np.ndarray, axes: Sequence[GridAxis]) -> None:
    """Sets the pixels of ``shown`` that lie in mixed cells; ``axes`` gives their positions in ``logits_chw``."""
    rows, columns = axes
    y, x = np.nonzero(is_mixed[rows.lower][:, columns.lower])
    if not len(y):
        return
    cells = rows.lower[y] * logits_chw.shape[2] + columns.lower[x]
    is_used = np.zeros(is_mixed.size, bool)
    is_used[cells] = True
    numbers = np.cumsum(is_used) - 1
    pixels = _Pixels(y, x, numbers[cells], rows.weight[y], columns.weight[x])
    corners = _corners(logits_chw, np.flatnonzero(is_used))
    # A class whose logits in all four corners are below the best guaranteed logit cannot lead.
    can_lead = np.maximum.reduce(corners) >= np.minimum.reduce(corners).max(axis=0)
    num_candidates = can_lead.sum(axis=0)
    least = 0
    while least < num_candidates.max():  # cells with similar numbers of candidates at a time
        most = max(2, 2 * least)
        chosen = np.flatnonzero((num_candidates > least) & (num_candidates <= most))
        if len(chosen):
            _draw_cells(shown, pixels, chosen, corners, can_lead)
        least = most


class _Pixels(NamedTuple):
    """Source pixels in mixed cells: rows and columns, numbers of their cells, and weights of the next cells."""

    y: np.ndarray
    x: np.ndarray
    cells: np.ndarray
    weights_y: np.ndarray
    weights_x: np.ndarray


def _corners(logits_chw: np.ndarray, cells: np.ndarray) -> list[np.ndarray]:
    """Returns logits (classes, m) of the cells at these positions, to the right, below, and to the lower right."""
    num_classes, height, width = logits_chw.shape
    flat = logits_chw.reshape(num_classes, -1)
    right = cells % width < width - 1
    below = (cells < (height - 1) * width) * width
    return [flat[:, places] for places in (cells, cells + right, cells + below, cells + right + below)]


def _draw_cells(
    shown: np.ndarray, pixels: _Pixels, chosen: np.ndarray, corners: Sequence[np.ndarray], can_lead: np.ndarray
) -> None:
    """Sets the pixels in the ``chosen`` cells."""
    places = np.full(can_lead.shape[1], -1)
    places[chosen] = np.arange(len(chosen))
    inside = places[pixels.cells] >= 0
    y, x, cells, weights_y, weights_x = (each[inside] for each in pixels)
    cells = places[cells]
    candidates = _numbered(can_lead[:, chosen].T)
    tables = [corner[candidates, chosen] for corner in corners]
    highest = np.full(len(cells), -np.inf, np.float32)
    best = np.zeros(len(cells), np.intp)
    for number in range(len(candidates)):
        # In the computation order of torch.nn.functional.interpolate.
        left_top, right_top, left_below, right_below = (table[number][cells] for table in tables)
        top = (1 - weights_x) * left_top + weights_x * right_top
        below = (1 - weights_x) * left_below + weights_x * right_below
        values = (1 - weights_y) * top + weights_y * below
        is_higher = values > highest
        np.copyto(highest, values, where=is_higher)
        np.copyto(best, number, where=is_higher)
    shown[y, x] = candidates[best, cells]


def _numbered(can_lead: np.ndarray) -> np.ndarray:
    """Returns the classes that are true in each row of ``can_lead``, ascending, as columns; shorter ones are padded
    with the first class.
    """
    rows, class_ids = np.nonzero(can_lead)
    starts = np.searchsorted(rows, np.arange(len(can_lead)))
    numbers = np.arange(len(rows)) - starts[rows]
    candidates = np.repeat(class_ids[starts][None], int(numbers.max()) + 1, axis=0)
    candidates[numbers, rows] = class_ids
    return candidates
