"""Format ``jsonl``: one JSON object per line and image, with every column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from jobs.conversion.json_text import json_object, plain
from jobs.conversion.writer import Context, Writer

if TYPE_CHECKING:
    from typing import BinaryIO

    import pyarrow as pa


class JsonLines(Writer):
    """Writes ``predictions.jsonl``. Keys are the columns; run lengths are text, and other binary values base64."""

    about = "one JSON object a line, with every column"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file = self.files.open("predictions.jsonl")

    @classmethod
    def columns(cls, schema: pa.Schema) -> list[str]:
        return list(schema.names)

    def write(self, rows: pa.Table) -> None:
        write_lines(self._file, json_object({name: plain(rows[name]) for name in self.schema.names}))
        self.tally.num_written += len(rows)

    def close(self) -> None:
        self._file.close()


def write_lines(file: BinaryIO, texts: pa.Array, *, end: str = "\n") -> None:
    """Writes each of ``texts``, followed by ``end``."""
    lines = plain(pc.binary_join_element_wise(texts, end, ""))
    _, starts, data = lines.buffers()
    if len(lines):
        first, last = np.frombuffer(starts, np.int32)[[lines.offset, lines.offset + len(lines)]]
        file.write(data[first:last])
