"""Format ``csv``: flat, with one line per image or, for detections, per box."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.types as pt

from actors.errors import JobError
from actors.tasks.detection.rows import CORNERS
from jobs.conversion.boxes import DETECTIONS, Boxes
from jobs.conversion.json_text import json_text, plain
from jobs.conversion.writer import MASK, NAME, Context, Writer, is_mask, put_masks

FIRST = ("label_id", "label", "score")
BOX_COLUMNS = ("x_min", "y_min", "x_max", "y_max", "class_id", "confidence", "label")
"""Columns of a box, named as in supervision's sinks."""


class Csv(Writer):
    """Writes ``predictions.csv``, and class maps as PNG files in ``masks/`` beside it.

    The first column is ``filename``. Short lists of fixed length become numbered columns, other lists JSON text; binary
    values, and columns such as ``top_labels`` that repeat the label, are omitted.
    """

    about = "one line an image, or a box"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        read = self.columns(self.schema)
        self._others = [name for name in read if name not in (*FIRST, DETECTIONS, MASK)]
        self.tally.columns_left_out = [name for name in self.schema.names if name not in read]
        self._file = self.files.open("predictions.csv")
        self._csv: pa_csv.CSVWriter | None = None

    @classmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        for field in schema:
            size = _num_values(field.type)
            if size > _MAX_NUMBERED or (size and field.name == "embedding"):
                raise JobError(
                    f"to=csv: column {field.name} has {size} numbers an image",
                    fix="use to=hf, which writes Parquet, or to=jsonl",
                )
        return [field.name for field in schema if _is_flat(field, schema)]

    def write(self, rows: pa.Table) -> None:
        table = self._boxes(rows) if DETECTIONS in self.schema.names else self._images(rows)
        if self.options.escape_formulas:
            table = self._escaped(table)
        if self._csv is None:
            self._csv = pa_csv.CSVWriter(self._file, table.schema)
        self._csv.write_table(table)
        self.tally.num_written += len(rows)

    def close(self) -> None:
        if self._csv is not None:
            self._csv.close()
        self._file.close()

    def _images(self, rows: pa.Table) -> pa.Table:
        columns: dict[str, Any] = {"filename": rows[NAME]}
        columns |= {name: rows[name] for name in FIRST if name in self.schema.names}
        if is_mask(self.schema):
            columns["mask_file"] = pa.array(put_masks(self.files, rows, "masks"), pa.string())
        return pa.table(columns | self._flat(rows, columns))

    def _boxes(self, rows: pa.Table) -> pa.Table:
        boxes = Boxes.of(rows)
        flat = plain(rows[DETECTIONS]).flatten()
        corners = [pc.struct_field(flat, name) for name in CORNERS]
        values = [*corners, boxes.label_id, boxes.score, boxes.label]
        taken = rows.take(pa.array(boxes.image))
        columns: dict[str, Any] = {"filename": taken[NAME], **dict(zip(BOX_COLUMNS, values, strict=True))}
        self.tally.notes["images without a box have no line"] += int((np.diff(boxes.offsets) == 0).sum())
        self.tally.notes["boxes written"] += len(boxes)
        return pa.table(columns | self._flat(taken, columns))

    def _flat(self, rows: pa.Table, taken: dict[str, Any]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name in self._others:
            values = plain(rows[name])
            values = values.storage if isinstance(values, pa.ExtensionArray) else values
            if pt.is_fixed_size_list(values.type):
                numbered = range(values.type.list_size)
                columns |= {f"{name}_{number}": pc.list_element(values, number) for number in numbered}
            elif pt.is_nested(values.type):
                columns[name] = pc.if_else(pc.is_valid(values), json_text(values), None)
            else:
                columns[name if name not in taken else f"{name}_of_image"] = _cell(values)
        return columns

    def _escaped(self, table: pa.Table) -> pa.Table:
        for number, field in enumerate(table.schema):
            if not pt.is_string(field.type):
                continue
            values = table.column(number)
            is_formula = pc.match_substring_regex(values, _FORMULA)
            if num_cells := pc.sum(is_formula).as_py():
                self.tally.notes["cells begin like a formula and got an apostrophe"] += num_cells
                quoted = pc.binary_join_element_wise("'", values, "")
                table = table.set_column(number, field, pc.if_else(is_formula, quoted, values))
        return table


_MAX_NUMBERED = 64  # columns made from one list
_FORMULA = r"^[=+\-@\t\r]"
_REPEATED = ("top_label_ids", "top_labels", "top_scores")


def _num_values(kind: pa.DataType) -> int:
    """Returns the number of values of a list of fixed length, or of a tensor; 0 for other types."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return int(kind.list_size) if pt.is_fixed_size_list(kind) else 0


def _is_flat(field: pa.Field, schema: pa.Schema) -> bool:
    if field.name == MASK and is_mask(schema):
        return True
    kind = field.type
    is_bytes = pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind)
    return field.name not in _REPEATED and not is_bytes


def _cell(values: pa.Array) -> pa.Array:
    if pt.is_dictionary(values.type):
        return values.dictionary_decode()
    if pt.is_float16(values.type):
        return pc.cast(values, pa.float32())
    return values
