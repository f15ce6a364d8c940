"""Format ``coco``: results for evaluation with pycocotools, and a dataset with the same boxes as annotations."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from jobs.conversion.boxes import DETECTIONS, Boxes, Categories, fixed_lists
from jobs.conversion.coco_ids import OwnIds
from jobs.conversion.json_text import json_object, plain
from jobs.conversion.jsonl import write_lines
from jobs.conversion.writer import NAME, Context, Writer, needs

if TYPE_CHECKING:
    from typing import BinaryIO


class Coco(Writer):
    """Writes ``results.json``, a list of boxes, and ``dataset.json`` with ``images``, ``annotations``
    and ``categories``.

    Boxes are left, top, width and height in pixels of the upright image. Ids of images and categories are those of
    `convert.annotations`, otherwise as in `OwnIds`; images and boxes without an id are omitted.
    """

    about = "results and a dataset for pycocotools"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._ids = context.coco_ids or OwnIds()
        self._categories = Categories()
        self._num_boxes = 0
        self._results = JsonArray(self.files.open("results.json"))
        self._dataset = self.files.open("dataset.json")
        self._dataset.write(b'{"images": ')
        self._images = JsonArray(self._dataset)
        self._spool = self.files.spool()  # annotations, until all images are written
        self._annotations = JsonArray(self._spool)

    @classmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        needs(
            schema,
            [DETECTIONS, "width", "height"],
            to="coco",
            fix="use to=hf, jsonl or csv, or the rows of task=detect",
        )
        return ["image_id", DETECTIONS, "width", "height"]

    def write(self, rows: pa.Table) -> None:
        image_ids = self._ids.images(rows[NAME].to_pylist())
        is_known = image_ids >= 0
        if not is_known.all():
            self.tally.left_out["not in convert.annotations"] += int((~is_known).sum())
            rows, image_ids = rows.filter(pa.array(is_known)), image_ids[is_known]
        images = {"id": pa.array(image_ids), "file_name": rows[NAME], "width": rows["width"], "height": rows["height"]}
        self._images.add(json_object({key: plain(values) for key, values in images.items()}))
        self._add(Boxes.of(rows), image_ids)
        self.tally.num_written += len(rows)

    def close(self) -> None:
        self._results.close()
        self._results.file.close()
        self._images.close()
        self._annotations.close()
        self._dataset.write(b',\n"annotations": ')
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, self._dataset)
        categories = [{"id": category, "name": name} for category, name in self._categories.ordered()]
        self._dataset.write(f',\n"categories": {json.dumps(categories, ensure_ascii=False)}}}\n'.encode())
        self._dataset.close()

    def _add(self, boxes: Boxes, image_ids: np.ndarray) -> None:
        category = self._ids.categories(boxes.label_id, boxes.label)
        self._categories.add(pa.array(category[category >= 0]), boxes.label.filter(pa.array(category >= 0)))
        xywh = boxes.xywh
        result: dict[str, Any] = {
            "image_id": pa.array(image_ids[boxes.image]),
            "category_id": pa.array(category),
            "bbox": fixed_lists(xywh),
            "score": boxes.score,
        }
        if boxes.mask is not None:
            result["segmentation"] = boxes.mask
        table = pa.table(result).filter(pa.array(category >= 0))
        if (num_lost := len(boxes) - len(table)) > 0:
            self.tally.notes["boxes of classes that convert.annotations lacks are left out"] += num_lost
        result = {key: plain(table[key]) for key in table.column_names}
        area = np.round(xywh[category >= 0][:, 2] * xywh[category >= 0][:, 3], 3)
        ids = np.arange(self._num_boxes + 1, self._num_boxes + len(table) + 1)
        self._num_boxes += len(table)
        self.tally.notes["boxes written"] += len(table)
        self._results.add(json_object(result))
        more = {"area": pa.array(area), "iscrowd": pa.array(np.zeros(len(table), np.int64))}
        self._annotations.add(json_object({"id": pa.array(ids), **result, **more}))


class JsonArray:
    """A JSON array (or, with other brackets, an object) in a file, written a few items at a time."""

    def __init__(self, file: BinaryIO, begin: str = "[", end: str = "]") -> None:
        self.file = file
        self._end = end
        self._is_empty = True
        file.write(begin.encode())

    def add(self, texts: pa.Array) -> None:
        """Adds items, each given as JSON text."""
        if len(texts):
            self.file.write(b"\n" if self._is_empty else b",\n")
            self._is_empty = False
            write_lines(self.file, texts[:-1], end=",\n")
            write_lines(self.file, texts[-1:], end="")

    def close(self) -> None:
        """Closes the array; the file stays open."""
        self.file.write(f"\n{self._end}".encode())
