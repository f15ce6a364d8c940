"""Format ``fiftyone``: labels of a FiftyOne dataset on disk, to be combined with the image folder."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from actors.errors import JobError
from jobs.conversion.boxes import DETECTIONS, Boxes, Categories, fixed_lists
from jobs.conversion.coco import JsonArray
from jobs.conversion.json_text import json_object, json_text, plain
from jobs.conversion.writer import MASK, NAME, Context, Writer, is_mask, put_masks

CLASSIFIED = ("label_id", "label", "score")


class FiftyOne(Writer):
    """Writes ``labels.json`` of FiftyOneImageDetectionDataset or FiftyOneImageClassificationDataset, keyed by image
    names without suffix; or, for class maps, ``labels/`` of ImageSegmentationDirectory.
    """

    about = "labels of a FiftyOne dataset on disk"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        read = self.columns(self.schema)
        self._is_mask, self._has_boxes = MASK in read, DETECTIONS in read
        self._categories = Categories()
        if not self._is_mask:
            self._file = self.files.open("labels.json")
            self._file.write(b'{"labels": ')
            self._labels = JsonArray(self._file, "{", "}")

    @classmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        if DETECTIONS in schema.names and {"width", "height"} <= {*schema.names}:
            return ["image_id", DETECTIONS, "width", "height"]
        if is_mask(schema):
            return ["image_id", MASK]
        if {*CLASSIFIED} <= {*schema.names}:
            return ["image_id", *CLASSIFIED]
        raise JobError(
            "to=fiftyone: the rows have no detections, class maps or labels",
            fix="use to=jsonl, whose objects FiftyOne's Python interface takes as fields",
        )

    def write(self, rows: pa.Table) -> None:
        if self._is_mask:
            put_masks(self.files, rows, "labels")
        else:
            labels = self._detections(rows) if self._has_boxes else self._classification(rows)
            keys = [str(PurePosixPath(name).with_suffix("")) for name in rows[NAME].to_pylist()]
            texts = [f"{json.dumps(k, ensure_ascii=False)}: {v}" for k, v in zip(keys, labels.to_pylist(), strict=True)]
            self._labels.add(pa.array(texts, pa.string()))
        self.tally.num_written += len(rows)

    def close(self) -> None:
        if self._is_mask:
            return
        self._labels.close()
        classes = [name for _, name in self._categories.ordered()]
        self._file.write(f',\n"classes": {json.dumps(classes, ensure_ascii=False)}}}\n'.encode())
        self._file.close()

    def _detections(self, rows: pa.Table) -> pa.Array:
        boxes = Boxes.of(rows)
        self._categories.add(boxes.label_id, boxes.label)
        sizes = np.column_stack([plain(rows[name]).fill_null(0).to_numpy() for name in ("width", "height")])
        with np.errstate(divide="ignore", invalid="ignore"):  # the boxes of an image without a size are null
            relative = np.round(boxes.xywh / np.hstack([sizes, sizes])[boxes.image], 6)
        values: dict[str, Any] = {
            "label": boxes.label,
            "bounding_box": fixed_lists(relative),
            "confidence": boxes.score,
        }
        objects = pa.StructArray.from_arrays(list(values.values()), list(values))
        return json_text(boxes.by_image(objects))

    def _classification(self, rows: pa.Table) -> pa.Array:
        self._categories.add(plain(rows["label_id"]), plain(rows["label"]))
        return json_object({"label": plain(rows["label"]), "confidence": plain(rows["score"])})
