"""Format ``hf``: a table for Hugging Face datasets, readable alone, or as an image folder if placed beside the
images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.conversion.boxes import DETECTIONS, Boxes, fixed_lists
from jobs.conversion.json_text import plain
from jobs.conversion.writer import MASK, NAME, Context, Writer, is_mask, put_masks

FILE_NAME, OBJECTS, MASK_FILE = "file_name", "objects", "mask_file_name"


class HuggingFace(Writer):
    """Writes ``metadata.parquet`` with ``file_name``, and ``objects`` of lists for detections: ``id``, ``area``,
    ``bbox`` (left, top, width, height), ``category``, ``label`` and ``score``. Class maps become PNG files in
    ``masks/``, named in ``mask_file_name``. All other columns are unchanged.
    """

    about = "metadata.parquet of a Hugging Face image folder"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        read = self.columns(self.schema)
        self._kept = [name for name in read if name not in (DETECTIONS, MASK)]
        self.tally.columns_left_out = [name for name in self.schema.names if name not in read]
        self._num_boxes = 0
        self._file = self.files.open("metadata.parquet")
        self._parquet: pq.ParquetWriter | None = None

    @classmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        return [name for name in schema.names if name not in (FILE_NAME, OBJECTS, MASK_FILE)]

    def write(self, rows: pa.Table) -> None:
        columns: dict[str, Any] = {FILE_NAME: plain(rows[NAME])}
        if DETECTIONS in self.schema.names:
            columns[OBJECTS] = self._objects(Boxes.of(rows))
        if is_mask(self.schema):
            columns[MASK_FILE] = pa.array(put_masks(self.files, rows, "masks"), pa.string())
        elif MASK in self.schema.names:
            columns[MASK] = rows[MASK]
        table = pa.table(columns | {name: rows[name] for name in self._kept})
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._parquet.write_table(table)
        self.tally.num_written += len(rows)

    def close(self) -> None:
        if self._parquet is not None:
            self._parquet.close()
        self._file.close()

    def abort(self) -> None:
        if self._parquet is not None:
            self._parquet.close()  # otherwise it would write the footer when garbage-collected, to a closed file

    def _objects(self, boxes: Boxes) -> pa.Array:
        xywh = boxes.xywh
        ids = np.arange(self._num_boxes, self._num_boxes + len(boxes))
        self._num_boxes += len(boxes)
        values = {
            "id": pa.array(ids),
            "area": pa.array(xywh[:, 2] * xywh[:, 3]),
            "bbox": fixed_lists(xywh),
            "category": boxes.label_id,
            "label": boxes.label,
            "score": boxes.score,
        }
        if boxes.mask is not None:
            values["segmentation"] = boxes.mask
        return pa.StructArray.from_arrays([boxes.by_image(one) for one in values.values()], list(values))
