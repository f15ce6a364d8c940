"""COCO's compressed run lengths of masks, as read and written by pycocotools: pixels column by column from the top
left, in runs that alternate between 0 and 1 and begin with 0.

The text format of the lengths is that of ``rleToString`` in https://github.com/cocodataset/cocoapi, common/maskApi.c.
"""

from __future__ import annotations

import numpy as np


def encode(mask_hw: np.ndarray) -> bytes:
    """Encodes a mask, bool (height, width)."""
    return encode_crop(mask_hw, (0, 0), mask_hw.shape[0], mask_hw.shape[1])


def encode_crop(crop_hw: np.ndarray, top_left: tuple[int, int], height: int, width: int) -> bytes:
    """Encodes a mask of ``height`` and ``width`` that is 0 outside ``crop_hw``, in time proportional to the crop.

    Args:
        crop_hw: the part of the mask that may hold ones, bool.
        top_left: its first row and column in the mask.
        height: of the whole mask.
        width: of the whole mask.
    """
    # A row of zeros below the crop, so that no run continues from one column to the next.
    columns = np.zeros((crop_hw.shape[1], crop_hw.shape[0] + 1), np.int8)
    columns[:, :-1] = crop_hw.T
    edges = np.flatnonzero(np.diff(columns.ravel(), prepend=np.int8(0)))
    column, row = np.divmod(edges, columns.shape[1])
    places = (column + top_left[1]) * height + row + top_left[0]
    return encode_runs(places[::2], places[1::2], height * width)


def encode_classes(class_map_hw: np.ndarray) -> dict[int, bytes]:
    """Encodes each value of a class map, integers (height, width), as a separate mask; by value, ascending."""
    flat = class_map_hw.ravel(order="F")
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1]) if flat.size else np.empty(0, np.int64)
    stops, values = np.append(starts[1:], flat.size), flat[starts]
    order = np.argsort(values, kind="stable")
    ids, firsts = np.unique(values[order], return_index=True)
    return {
        int(class_id): encode_runs(starts[chosen], stops[chosen], flat.size)
        for class_id, chosen in zip(ids, np.split(order, firsts[1:]), strict=True)
    }


def encode_runs(starts: np.ndarray, stops: np.ndarray, num_pixels: int) -> bytes:
    """Encodes the runs of ones of a mask of ``num_pixels``: positions where they start and stop, ascending and not
    empty; touching runs are joined.
    """
    apart = starts[1:] != stops[:-1]
    starts, stops = starts[np.append(True, apart)[: len(starts)]], stops[np.append(apart, True)[: len(stops)]]
    ends = np.column_stack([starts, stops]).ravel()
    if not len(ends) or ends[-1] != num_pixels:
        ends = np.append(ends, num_pixels)
    return _text(np.diff(ends, prepend=0))


def decode(counts: bytes | str, size: tuple[int, int]) -> np.ndarray:
    """Returns the mask, bool of ``size`` (height, width), with these run lengths.

    Raises:
        ValueError: the runs do not cover the mask exactly.
    """
    lengths = _lengths(counts.encode() if isinstance(counts, str) else counts)
    if (len(lengths) and lengths.min() < 0) or lengths.sum() != size[0] * size[1]:
        raise ValueError(f"run lengths of {lengths.sum()} pixels for a mask of {size[0]} by {size[1]}")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size, order="F")


def lookup(counts: bytes | str, places: np.ndarray) -> np.ndarray:
    """Returns pixels of the mask with these run lengths, bool in the shape of ``places``: pixel numbers, column by
    column from the top left. Needs no memory for the whole mask, which is 0 beyond its last run.
    """
    ends = _lengths(counts.encode() if isinstance(counts, str) else counts).cumsum()
    return np.asarray(np.searchsorted(ends, places, side="right") % 2 == 1) & (places < (ends[-1] if len(ends) else 0))


_MOST_CHARACTERS = 13  # five bits each, for 64


def _text(lengths: np.ndarray) -> bytes:
    """Encodes each length as groups of five bits, lowest first; from the fourth length on, as the difference from the
    length two before, which has the same value.
    """
    rest = lengths.astype(np.int64)
    rest[3:] -= lengths[1:-2]
    characters = np.zeros((len(rest), _MOST_CHARACTERS), np.uint8)
    is_open = np.ones(len(rest), bool)
    for place in range(_MOST_CHARACTERS):
        bits = rest & _BITS
        rest = rest >> 5
        goes_on = rest != np.where(bits & _SIGN, -1, 0)
        characters[:, place] = np.where(is_open, (bits | goes_on * _MORE) + _FIRST, 0)
        is_open &= goes_on
        if not is_open.any():
            break
    return characters[characters > 0].tobytes()


def _lengths(text: bytes) -> np.ndarray:
    """Returns the lengths that `_text` wrote, int64."""
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST
    is_last = codes & _MORE == 0
    starts = np.flatnonzero(np.append(True, is_last[:-1])[: len(codes)])
    if not len(starts):
        return np.zeros(0, np.int64)
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    values = np.add.reduceat((codes & _BITS) << (5 * place), starts)
    is_negative = (codes[is_last] & _SIGN) > 0
    values -= is_negative * (1 << (5 * (place[is_last] + 1)))
    for first in (1, 2):
        values[first::2] = values[first::2].cumsum()
    return values


_BITS, _SIGN, _MORE = 0x1F, 0x10, 0x20
_FIRST = 48  # the character 0
