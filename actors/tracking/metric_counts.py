"""Counts for metrics, collected in workers and added up in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from actors.columns import DECODE_S, ERROR, PREDICT_S, READ_BYTES, READ_S, STAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

Flow = dict[tuple[str, ...], float]
"""Counts by name and labels, such as ``("images_failed", "decode", "truncated")``. Labels never come from data, which
keeps the number of keys small.
"""

IMAGES_DONE = "images_done"
IMAGES_FAILED = "images_failed"  # by stage and kind
BLOCKS = "blocks"
BYTES_READ = "read_bytes"
STAGE_SECONDS = "stage_seconds"  # by stage
PARTS = "parts"
WRITTEN_BYTES = "written_bytes"
WORKER_DEATHS = "worker_deaths"  # by stage
QUARANTINED = "images_quarantined"  # by stage


def flow_of(predicted: pa.Table) -> Flow:
    """Returns the counts of a block from the predictor; seconds and bytes only for its existing columns."""
    is_failed = pc.is_valid(predicted[STAGE])
    flow: Flow = {(BLOCKS,): 1, (IMAGES_DONE,): predicted[STAGE].null_count}
    if flow[IMAGES_DONE,] < len(predicted):
        kinds = predicted.filter(is_failed).group_by([STAGE, ERROR]).aggregate([([], "count_all")])
        columns = (kinds[name].to_pylist() for name in (STAGE, ERROR, "count_all"))
        flow |= {(IMAGES_FAILED, stage, kind): number for stage, kind, number in zip(*columns, strict=True)}
    sums = {name: float(pc.sum(predicted[name]).as_py() or 0) for name in _KEYS if name in predicted.column_names}
    return flow | {_KEYS[name]: value for name, value in sums.items()}


def written(seconds: float, num_bytes: int) -> Flow:
    """Returns the counts of one part file."""
    return {(PARTS,): 1, (WRITTEN_BYTES,): num_bytes, (STAGE_SECONDS, "write"): seconds}


def add(total: Flow, more: Mapping[tuple[str, ...], float]) -> None:
    """Adds the counts of ``more`` to ``total``."""
    for key, value in more.items():
        total[key] = total.get(key, 0) + value


_KEYS: dict[str, tuple[str, ...]] = {
    READ_BYTES: (BYTES_READ,),
    READ_S: (STAGE_SECONDS, "read"),
    DECODE_S: (STAGE_SECONDS, "decode"),
    PREDICT_S: (STAGE_SECONDS, "predict"),
}
