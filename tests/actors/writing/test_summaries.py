from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow as pa
import pytest

from actors.columns import DECODE_CHECK, DECODE_S, DRAWN, ERROR, FLAT, MESSAGE, PREDICT_S, READ_S, STAGE, TARGET, URI
from actors.writing.summaries import Summary, total

BLOCK = pa.table(
    {
        TARGET: ["cat", "1", None, "dog", "cat"],
        STAGE: [None, None, None, None, "decode"],
        ERROR: [None, None, None, None, "truncated"],
        MESSAGE: [None, None, None, None, "cut off"],
        URI: ["a", "b", "c", "d", "e"],
        READ_S: [0.5, 0.5, 0.0, 0.0, 0.0],
        DECODE_S: [1.0, 0.0, 0.0, 0.0, 0.0],
        PREDICT_S: [0.0, 2.0, 0.0, 0.0, 0.0],
        "label_id": pa.array([0, 1, 1, 0, None], pa.int32()),
        "label": ["cat", "dog", "dog", "cat", None],
    }
)


def test_counts_of_a_block() -> None:
    assert Summary.of(BLOCK) == Summary(
        num_ok=4,
        num_errors=1,
        num_labelled=3,
        num_correct=2,  # by label, and by number; "dog" was taken for a cat
        read_s=1.0,
        decode_s=1.0,
        predict_s=2.0,
        error_kinds={"decode/truncated": 1},
        error_examples={"decode/truncated": [["e", "cut off"]]},
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


def test_labels_are_compared_in_one_normal_form() -> None:
    nfc, nfd = "z\u00e9ro", "ze\u0301ro"
    block = BLOCK.slice(0, 2).drop_columns([TARGET, "label"])
    for target, label in ((nfc, nfd), (nfd, nfc)):
        labelled = block.append_column(TARGET, [[target, None]]).append_column("label", [[label, label]])
        assert (Summary.of(labelled).num_labelled, Summary.of(labelled).num_correct) == (1, 1)


def test_the_sum_of_the_parts_is_the_whole() -> None:
    assert total([Summary.of(BLOCK.slice(0, 2)), Summary.of(BLOCK.slice(2))]) == Summary.of(BLOCK)
    assert total([]) == Summary()


def test_a_summary_comes_back_from_json_and_what_is_none_does_not() -> None:
    summary = Summary.of(BLOCK)
    assert Summary.from_json(json.loads(json.dumps(asdict(summary)))) == summary
    with pytest.raises(ValueError, match="num_ok=-1"):
        Summary.from_json({"num_ok": -1})


def test_of_each_kind_of_error_some_examples_are_kept() -> None:
    failed = pa.concat_tables([BLOCK.slice(4)] * 5)
    both = total([Summary.of(failed.slice(0, 2)), Summary.of(failed.slice(2))])
    assert both.error_kinds == {"decode/truncated": 5}
    assert both.error_examples == {"decode/truncated": [["e", "cut off"]] * 3}


def test_without_targets_or_labels_nothing_is_judged() -> None:
    assert Summary.of(BLOCK.drop_columns([TARGET])).num_labelled == 0
    assert Summary.of(BLOCK.drop_columns(["label", "label_id"])).num_labelled == 0
