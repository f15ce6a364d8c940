"""Finds the two runs of a comparison by id or location. Runs on the driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.errors import JobError
from actors.messages import redacted
from actors.outputs import open_output
from actors.outputs.row_batches import part_schema
from actors.storage.uris import absolute

if TYPE_CHECKING:
    from actors.outputs import PublishedRun
    from jobs.comparison.config import ComparedOutput


def find_run(key: str, given: str, output: ComparedOutput) -> PublishedRun:
    """Returns the published run that ``a`` or ``b`` names.

    Args:
        key: ``a`` or ``b``.
        given: id of a run below ``output.path``, or the path or URI of its folder.
        output: location of the runs.

    Raises:
        JobError: there is no such run, it is not published, or it cannot be read.
    """
    where = redacted(f"{key}={given}")
    if "/" not in given:
        if output.path is None:
            raise JobError(
                f"{where}: the id of a run, without output.path",
                fix="give the output.path of the job, or the folder of the run: OUTPUT/runs/RUN_ID",
            )
        return open_output(output.path, output.storage_options).run(given, key=key)
    found = _RUN_FOLDER.fullmatch(absolute(given))
    if found is None:
        raise JobError(f"{where}: not the folder of a run", fix="give OUTPUT/runs/RUN_ID, or an id with output.path")
    return open_output(found[1], output.storage_options).run(found[2], key=key)


def answer_schema(run: PublishedRun) -> pa.Schema:
    """Returns the columns written by the task of a run; none if it has no rows."""
    if not run.rows:
        return pa.schema([])
    dataset = run.config.get("dataset") or {}
    carried = {"image_id", "uri", "target", *(dataset.get("keep_columns") or ())}
    return pa.schema([field for field in part_schema(run.rows[0], run.storage) if field.name not in carried])


_RUN_FOLDER = re.compile(r"(.+)/runs/([^/]+)/?", re.DOTALL)
