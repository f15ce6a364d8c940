from __future__ import annotations

import json

import pytest

from actors.writing.receipts import FOOTER_KEY, Receipt
from actors.writing.summaries import Summary


def test_a_receipt_comes_back_from_json_that_anyone_can_read() -> None:
    receipt = Receipt(
        {3: [(0, 5)]}, Summary(num_errors=5, error_kinds={"a/b": 5}, error_examples={"a/b": [["u", "m"]]})
    )
    footer = receipt.to_footer()
    assert json.loads(footer)["ranges"] == {"3": [[0, 5]]}
    assert Receipt.from_footer({FOOTER_KEY: footer}) == receipt


def test_a_file_without_a_receipt_is_told_apart() -> None:
    assert Receipt.from_footer(None) is None
    assert Receipt.from_footer({b"other": b"1"}) is None


WHOLE = {"ranges": {"3": [[0, 2], [4, 5]]}, "summary": {"num_ok": 3}}


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"[" * 200_000,
        b"\xff",
        b"[]",
        b"{}",
        *(
            json.dumps(WHOLE | change).encode()
            for change in (
                {"ranges": 7},
                {"ranges": {"three": [[0, 3]]}},
                {"ranges": {"3": []}},
                {"ranges": {"3": [[0, 2, 3]]}},
                {"ranges": {"3": [[0, 2.0], [4, 5]]}},
                {"ranges": {"3": [[0, True], [4, 6]]}},
                {"ranges": {"3": [[-1, 2]]}},
                {"ranges": {"3": [[4, 5], [0, 2]]}},
                {"ranges": {"3": [[0, 4]]}},
                {"summary": {"num_ok": "3"}},
                {"summary": {"num_ok": 4, "num_errors": -1}},
                {"summary": {"num_ok": 3, "read_s": None}},
                {"summary": {"num_ok": 3, "error_kinds": {"a": "b"}}},
                {"summary": {"num_ok": 3, "error_examples": {"a": []}}},
                {"summary": {"num_ok": 3, "unknown": 1}},
            )
        ),
    ],
)
def test_a_damaged_receipt_is_a_value_error(footer: bytes) -> None:
    assert Receipt.from_footer({FOOTER_KEY: json.dumps(WHOLE).encode()}) is not None
    with pytest.raises(
        ValueError, match=r"not a (receipt|summary)|not an object|Expecting|decode|nested|ranges|literal|unpack"
    ):
        Receipt.from_footer({FOOTER_KEY: footer})
