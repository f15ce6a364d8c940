"""Format ``yolo``: one text file per image, as read by YOLO trainers."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.conversion.boxes import DETECTIONS, Boxes, Categories
from jobs.conversion.json_text import plain
from jobs.conversion.names import file_names
from jobs.conversion.writer import NAME, Context, Writer, needs


class Yolo(Writer):
    """Writes ``labels/<image>.txt`` with lines of class, centre x, centre y, width, height and score, relative to the
    image size, and ``data.yaml`` with the class names.

    Boxes are clipped to the image. An image without boxes has an empty file. Run-length masks are omitted.
    """

    about = "one text file an image, and data.yaml"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._categories = Categories()

    @classmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        needs(schema, [DETECTIONS, "width", "height"], to="yolo", fix="use to=csv, jsonl or hf")
        return ["image_id", DETECTIONS, "width", "height"]

    def write(self, rows: pa.Table) -> None:
        sizes = np.column_stack([_whole(rows["width"]), _whole(rows["height"])])
        has_size = (sizes > 0).all(axis=1)
        if not has_size.all():
            self.tally.left_out["without width and height"] += int((~has_size).sum())
            rows, sizes = rows.filter(pa.array(has_size)), sizes[has_size]
        boxes = Boxes.of(rows)
        self._categories.add(boxes.label_id, boxes.label)
        texts = pc.binary_join(boxes.by_image(_lines(boxes, sizes[boxes.image])), "").to_pylist()
        names = rows[NAME].to_pylist()
        wanted = [
            ((f"labels/{file}" for file in file_names(name, ".txt")), text.encode())
            for name, text in zip(names, texts, strict=True)
        ]
        chosen = self.files.put_all(wanted)
        firsts = (f"labels/{next(file_names(name, '.txt'))}" for name in names)
        num_renamed = sum(file != first for file, first in zip(chosen, firsts, strict=True))
        if num_renamed:
            self.tally.notes["files keep the suffix of the image, as another image has the name without it"] += (
                num_renamed
            )
        self.tally.num_written += len(rows)

    def close(self) -> None:
        labels = dict(self._categories.ordered())
        # Trainers reject gaps, which classes absent from the rows would leave.
        names = [labels.get(number, f"class_{number}") for number in range(max(labels, default=-1) + 1)]
        lines = ["path: .", "train: images", "val: images", "names:" if names else "names: {}"]
        lines += [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(names)]
        with self.files.open("data.yaml") as file:
            file.write(("\n".join(lines) + "\n").encode())


def _whole(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(pc.fill_null(plain(column), 0).to_numpy(zero_copy_only=False))


def _lines(boxes: Boxes, sizes: np.ndarray) -> pa.Array:
    """Formats one line per box; ``sizes`` has the image width and height for each."""
    corners = np.clip(boxes.corners / np.hstack([sizes, sizes]), 0, 1)
    left_top, right_bottom = corners[:, :2], corners[:, 2:]
    values = np.round(np.hstack([(left_top + right_bottom) / 2, right_bottom - left_top]), 6)
    numbers = [pa.array(np.ascontiguousarray(column)) for column in values.T]
    texts = [pc.cast(one, pa.string()) for one in (boxes.label_id, *numbers, boxes.score)]
    return pc.binary_join_element_wise(pc.binary_join_element_wise(*texts, " "), "\n", "")
