from __future__ import annotations

import pyarrow as pa
import pytest
from blocks import predicted_block

from actors.columns import READ_BYTES, STAGE
from actors.tracking.metric_counts import Flow, add, flow_of, written


def test_a_block_gives_its_images_errors_bytes_and_seconds() -> None:
    block = predicted_block(3, range(10), bad={2, 7})
    flow = flow_of(block.append_column(READ_BYTES, pa.array([100] * 10, pa.int64())))
    assert flow.pop(("stage_seconds", "read")) == pytest.approx(1.0, rel=1e-6)
    assert flow.pop(("stage_seconds", "decode")) == pytest.approx(2.0, rel=1e-6)
    assert flow.pop(("stage_seconds", "predict")) == pytest.approx(3.0, rel=1e-6)
    assert flow == {
        ("blocks",): 1,
        ("images_done",): 8,
        ("images_failed", "decode", "truncated"): 2,
        ("read_bytes",): 1000,
    }


def test_what_a_block_does_not_know_is_not_counted() -> None:
    flow = flow_of(predicted_block(3, range(4)).select([STAGE]))
    assert flow == {("blocks",): 1, ("images_done",): 4}


def test_counts_add_up() -> None:
    total: Flow = {("parts",): 2, ("stage_seconds", "read"): 1.5}
    add(total, written(0.25, 1000))
    add(total, written(0.5, 50))
    assert total == {
        ("parts",): 4,
        ("written_bytes",): 1050,
        ("stage_seconds", "write"): 0.75,
        ("stage_seconds", "read"): 1.5,
    }
