from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow as pa
import pytest

from actors.columns import DECODE_CHECK, DECODE_S, DRAWN, ERROR, FLAT, MESSAGE, PREDICT_S, READ_S, STAGE, URI
from actors.tasks.accuracy import NUM_CORRECT, NUM_LABELLED
from actors.writing.summaries import Summary, total

BLOCK = pa.table(
    {
        STAGE: [None, None, None, None, "decode"],
        ERROR: [None, None, None, None, "truncated"],
        MESSAGE: [None, None, None, None, "cut off"],
        URI: ["a", "b", "c", "d", "e"],
        READ_S: [0.5, 0.5, 0.0, 0.0, 0.0],
        DECODE_S: [1.0, 0.0, 0.0, 0.0, 0.0],
        PREDICT_S: [0.0, 2.0, 0.0, 0.0, 0.0],
    }
)


def test_counts_of_a_block() -> None:
    assert Summary.of(BLOCK, {"task/b": 2, "task/a": 1, "task/none": 0}) == Summary(
        num_ok=4,
        num_errors=1,
        read_s=1.0,
        decode_s=1.0,
        predict_s=2.0,
        error_kinds={"decode/truncated": 1},
        error_examples={"decode/truncated": [["e", "cut off"]]},
        counters={"task/a": 1, "task/b": 2},
    )


def test_what_the_cpu_decoded_beside_a_gpu_is_counted_and_older_summaries_lack_it() -> None:
    checks = pa.array([FLAT, None, DRAWN, DRAWN, FLAT])
    blocks = [BLOCK.append_column(DECODE_CHECK, checks).slice(*cut) for cut in ((0, 3), (3, 2))]
    both = total(map(Summary.of, blocks))
    assert (both.num_gpu_flat, both.num_gpu_drawn) == (2, 2)
    content = asdict(both)
    assert Summary.from_json(json.loads(json.dumps(content))) == both
    older = Summary.from_json({key: value for key, value in content.items() if not key.startswith("num_gpu")})
    assert older == Summary.of(BLOCK)


def test_counters_add_up_by_name() -> None:
    parts = [Summary.of(BLOCK, {"objects/cat": 2}), Summary.of(BLOCK, {"objects/dog": 1}), Summary.of(BLOCK)]
    parts.append(Summary.of(BLOCK, {"objects/cat": 5}))
    assert total(parts).counters == {"objects/cat": 7, "objects/dog": 1}
    assert total(reversed(parts)).counters == total(parts).counters


def test_a_summary_from_before_tasks_had_counters_is_read_and_merged() -> None:
    content = asdict(Summary.of(BLOCK)) | {"num_labelled": 3, "num_correct": 2}
    del content["counters"]
    former = Summary.from_json(json.loads(json.dumps(content)))
    assert former.counters == {NUM_LABELLED: 3, NUM_CORRECT: 2}
    assert total([former, Summary.of(BLOCK, {NUM_LABELLED: 4})]).counters == {NUM_LABELLED: 7, NUM_CORRECT: 2}
    with pytest.raises(ValueError, match="counters"):
        Summary.from_json(content | {"num_correct": -1})


def test_the_sum_of_the_parts_is_the_whole() -> None:
    assert total([Summary.of(BLOCK.slice(0, 2)), Summary.of(BLOCK.slice(2))]) == Summary.of(BLOCK)
    assert total([]) == Summary()


def test_a_summary_comes_back_from_json_and_what_is_none_does_not() -> None:
    summary = Summary.of(BLOCK, {"task/a": 1})
    assert Summary.from_json(json.loads(json.dumps(asdict(summary)))) == summary
    with pytest.raises(ValueError, match="num_ok=-1"):
        Summary.from_json({"num_ok": -1})
    for counters in ({"task/a": 0.5}, {"task/a": -1}, ["task/a"]):
        with pytest.raises(ValueError, match="counters"):
            Summary.from_json({"counters": counters})


def test_of_each_kind_of_error_some_examples_are_kept() -> None:
    failed = pa.concat_tables([BLOCK.slice(4)] * 5)
    both = total([Summary.of(failed.slice(0, 2)), Summary.of(failed.slice(2))])
    assert both.error_kinds == {"decode/truncated": 5}
    assert both.error_examples == {"decode/truncated": [["e", "cut off"]] * 3}
