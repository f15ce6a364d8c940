"""Compares class maps of task=segment pixel by pixel. Used on the driver."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from actors.tasks.segmentation.run_lengths import decode
from jobs.comparison.answers import Changes
from jobs.comparison.flips import examples, most_frequent_flips

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.comparison.outcomes import Outcomes


class PixelAnswers:
    """Pixels flip from one class to another. All pixels of an image flip if its size differs."""

    columns = ("width", "height", "mask", "classes")
    kept = pa.schema(
        [
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("ids", pa.list_(pa.int32())),
            pa.field("labels", pa.list_(pa.string())),
            pa.field("png", pa.binary()),
            pa.field("runs", pa.list_(pa.binary())),
        ]
    )
    batch_rows = 256
    limits = ("max_flip_ratio",)

    def keep(self, rows: pa.Table) -> pa.Table:
        classes = rows["classes"].combine_chunks()
        inner = classes.flatten()
        starts = np.cumsum([0, *pc.list_value_length(classes).fill_null(0).to_pylist()])
        parts = [pc.struct_field(inner, name) for name in ("label_id", "label")]
        is_png = "mask" in rows.column_names
        runs = pa.nulls(len(inner), pa.binary()) if is_png else pc.struct_field(inner, ["mask", "counts"])
        lists = [pa.ListArray.from_arrays(pa.array(starts, pa.int32()), part) for part in (*parts, runs)]
        png = rows["mask"] if is_png else pa.nulls(len(rows), pa.binary())
        return pa.table([rows["width"], rows["height"], *lists[:2], png, lists[2]], schema=self.kept)

    def measure(self, pairs: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(
            [
                _compared(*({name: row[f"{side}_{name}"] for name in self.kept.names} for side in "ab"))
                for row in pairs.to_pylist()
            ],
            schema=_MEASURED,
        )

    def changes(self, outcomes: Outcomes) -> Changes:
        ((num_pairs, num_flips, num_pixels, num_equal, least),) = outcomes.query(_FIGURES)
        agreement = num_equal / num_pixels if num_pixels else 1.0
        worst = "SELECT a, b, 1 - num_equal / num_pixels AS weight FROM pairs WHERE num_equal < num_pixels"
        figures = {"pixel_agreement": agreement, "num_pixels": num_pixels, "num_equal_pixels": num_equal}
        return Changes(
            num_flips,
            1 - agreement,
            flips=most_frequent_flips(outcomes, _FLIPS),
            figures={**figures, **({"least_agreement_of_an_image": least} if num_pairs else {})},
            examples={"Least agreement": examples(outcomes, worst, _NUM_IMAGES)},
        )


_NUM_IMAGES = 40
_NO_CLASS = -1
_MEASURED = pa.schema(
    [
        pa.field("num_pixels", pa.int64()),
        pa.field("num_equal", pa.int64()),
        pa.field(
            "changes",
            pa.list_(
                pa.struct(
                    [pa.field("before", pa.string()), pa.field("after", pa.string()), pa.field("pixels", pa.int64())]
                )
            ),
        ),
    ]
)
_FLIPS = """
    SELECT a, b, c.before, c.after, c.pixels AS num, c.pixels AS weight
    FROM (SELECT a, b, unnest(changes) AS c FROM pairs)
"""
_FIGURES = """
    SELECT count(*), count(*) FILTER (num_equal < num_pixels), coalesce(sum(num_pixels), 0)::BIGINT,
    coalesce(sum(num_equal), 0)::BIGINT, min(num_equal / greatest(num_pixels, 1)) FROM pairs
"""


def _compared(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    if (a["height"], a["width"]) != (b["height"], b["width"]):
        return {"num_pixels": a["height"] * a["width"], "num_equal": 0, "changes": []}
    before, after = _class_map(a), _class_map(b)
    # One number for each pair of classes: counting pairs of numbers takes ten times as long.
    step = int(after.max(initial=0)) + 2
    keys, counts = np.unique(((before + 1) * step + after + 1)[before != after], return_counts=True)
    pairs = [divmod(key, step) for key in keys.tolist()]
    names = [dict(zip(row["ids"], row["labels"], strict=True)) for row in (a, b)]
    return {
        "num_pixels": before.size,
        "num_equal": int(before.size - counts.sum()),
        "changes": [
            {"before": names[0].get(i - 1), "after": names[1].get(j - 1), "pixels": number}
            for (i, j), number in zip(pairs, counts.tolist(), strict=True)
        ],
    }


def _class_map(row: Mapping[str, Any]) -> np.ndarray:
    if row["png"] is not None:
        with Image.open(io.BytesIO(row["png"])) as image:  # in palette mode, pixels are the classes
            pixels: np.ndarray = np.asarray(image)
        known: np.ndarray = np.full(1 << 16, _NO_CLASS, np.int64)
        known[row["ids"]] = row["ids"]
        return np.take(known, pixels)
    found = np.full((row["height"], row["width"]), _NO_CLASS, np.int64)
    for class_id, runs in zip(row["ids"], row["runs"], strict=True):
        found[decode(runs, found.shape)] = class_id
    return found
