"""Converts the chosen rows: from the published runs through a writer to the destination. Runs on the driver."""

from __future__ import annotations

from contextlib import closing
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.columns import IMAGE_ID
from actors.errors import JobError
from actors.outputs import open_output
from actors.outputs.newest import newest_rows
from actors.outputs.row_batches import read_schema
from actors.storage.uris import absolute, redacted
from jobs.conversion.boxes import DETECTIONS, over_threshold
from jobs.conversion.coco import Coco
from jobs.conversion.coco_ids import read_ids
from jobs.conversion.csv_table import Csv
from jobs.conversion.destination import check_destination, destination
from jobs.conversion.fifty_one import FiftyOne
from jobs.conversion.hugging_face import HuggingFace
from jobs.conversion.json_text import plain
from jobs.conversion.jsonl import JsonLines
from jobs.conversion.names import Names
from jobs.conversion.writer import NAME, Context, Tally, Writer
from jobs.conversion.yolo import Yolo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actors.outputs import PublishedRun
    from jobs.conversion.config import Conversion

FORMATS: dict[str, type[Writer]] = {
    "coco": Coco,
    "csv": Csv,
    "fiftyone": FiftyOne,
    "hf": HuggingFace,
    "jsonl": JsonLines,
    "yolo": Yolo,
}


def run_conversion(wanted: Conversion) -> Iterator[str]:
    """Converts the rows, then yields lines for people; the last one has the counts.

    Raises:
        JobError: the job is wrong, or the destination cannot be written; a local destination is then unchanged.
    """
    writer_class = _format(wanted.to)
    output, uri = open_output(wanted.output.path, wanted.output.storage_options), absolute(wanted.convert.path)
    storage, options = output.storage, wanted.convert
    runs = (
        output.runs_of_one_model(options.model, key="convert.model")
        if options.run is None
        else [output.run(options.run, key="convert.run")]
    )
    schema = read_schema(runs, storage)
    columns = writer_class.columns(schema)
    check_destination(uri, storage, output.root, overwrite=options.overwrite)
    coco_ids = read_ids(wanted.convert.annotations, storage) if wanted.convert.annotations else None
    tally, record = Tally(), _record(wanted, runs)
    with newest_rows(runs, storage) as newest, destination(uri, storage, record) as files:
        writer = writer_class(Context(schema, wanted.convert, files, tally, coco_ids))
        read = pa.schema([field for field in schema if field.name in {*columns, IMAGE_ID}])
        names = Names([wanted.convert.base] if wanted.convert.base else _bases(runs))
        with closing(newest.batches(read)) as batches:
            num_newest = _write_all(batches, writer, names)
        tally.num_read = newest.num_read
        _check_sum(tally, runs)
        if num_older := tally.num_read - num_newest:
            tally.left_out["superseded by a newer run"] = num_older
        record["counts"] = _counts(tally, newest.num_failed)
    yield from _lines(wanted, tally, runs, newest.num_failed)
    yield f"{redacted(uri)}: {_sum(tally)}"


def _format(name: str) -> type[Writer]:
    if name in FORMATS:
        return FORMATS[name]
    close = get_close_matches(name.lower(), FORMATS, n=1)
    listed = "; ".join(f"{known}: {writer.about}" for known, writer in FORMATS.items())
    raise JobError(
        f"to={name}: there is no such format", fix=f"{f'did you mean {close[0]}? ' if close else ''}there are {listed}"
    )


def _bases(runs: Sequence[PublishedRun]) -> list[str]:
    return list(dict.fromkeys(path for run in runs for path in run.dataset_paths))


def _write_all(batches: Iterable[pa.Table], writer: Writer, names: Names) -> int:
    num_rows = 0
    try:
        for batch in batches:
            named = pa.array([names(image_id) for image_id in batch[IMAGE_ID].to_pylist()], pa.string())
            writer.write(_over_threshold(batch, writer).append_column(NAME, named))
            num_rows += len(batch)
        writer.close()
    except BaseException:
        writer.abort()
        raise
    return num_rows


def _over_threshold(rows: pa.Table, writer: Writer) -> pa.Table:
    threshold = writer.options.score_threshold
    if not threshold or DETECTIONS not in rows.column_names:
        return rows
    boxes, num_lower = over_threshold(plain(rows[DETECTIONS]), threshold)
    writer.tally.notes["boxes have a lower score than convert.score_threshold and are left out"] += num_lower
    return rows.set_column(rows.schema.get_field_index(DETECTIONS), DETECTIONS, boxes)


def _check_sum(tally: Tally, runs: Sequence[PublishedRun]) -> None:
    num_published = sum(run.num_ok for run in runs)
    if tally.num_read != num_published:
        raise JobError(
            f"the parts have {tally.num_read:,} rows, and the manifests of their runs list {num_published:,}",
            fix="python -m jobs.verify output.path=… names the parts that have changed since",
        )


def _record(wanted: Conversion, runs: Sequence[PublishedRun]) -> dict[str, Any]:
    return {
        "format": wanted.to,
        "output": redacted(wanted.output.path),
        "model": runs[0].fingerprint,
        "runs": [run.run_id for run in runs],
    }


def _counts(tally: Tally, num_failed: int) -> dict[str, Any]:
    return {
        "num_read": tally.num_read,
        "num_written": tally.num_written,
        "left_out": dict(tally.left_out),
        "num_images_without_row": num_failed,
        "notes": dict(tally.notes),
    }


def _lines(wanted: Conversion, tally: Tally, runs: Sequence[PublishedRun], num_failed: int) -> Iterator[str]:
    newest = f", newest {runs[0].run_id}" if len(runs) > 1 else f": {runs[0].run_id}"
    yield f"{wanted.to}: model {runs[0].fingerprint}, {len(runs):,} run{'s' * (len(runs) > 1)}{newest}"
    if tally.columns_left_out:
        yield f"columns omitted: {', '.join(tally.columns_left_out)}"
    yield from (f"{number:,} {text}" for text, number in tally.notes.items() if number)
    if num_failed:
        yield f"images without a row: {num_failed:,} failed; errors/ has the reasons"


def _sum(tally: Tally) -> str:
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in tally.left_out.items())
    num_left = sum(tally.left_out.values())
    return (
        f"{tally.num_read:,} rows read = {tally.num_written:,} written + {num_left:,} left out"
        f"{f' ({reasons})' if reasons else ''}"
    )
