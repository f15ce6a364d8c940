from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from jobs.browsing.query import Query, QueryError

COLUMNS = ["image_id", "score"]


def parsed(address: str) -> Query:
    return Query.parse(parse_qsl(address.removeprefix("/?"), keep_blank_values=True), COLUMNS)


def test_values_are_typed_and_empty_ones_do_not_count() -> None:
    found = parsed("text=a%20b&label=&score_min=.5&score_max=1e-1&sort=score&order=down&page=3&size=25&outcome=failed")
    assert found == Query("a b", "", 0.5, 0.1, "failed", "", "score", "down", 3, 25)
    assert parsed("") == parsed("sort=listed&page=1") == Query()


@pytest.mark.parametrize(
    "query",
    [Query(), Query(text="ä&b=c #?/\n", label='"<>', score_min=0.0), Query(error="decode/x", page=2), Query(size=200)],
)
def test_an_address_parses_to_the_same_query(query: Query) -> None:
    assert parsed(query.address()) == query
    assert parsed(query.address(page=9, sort="score")).page == 9


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("x=1", "'x' is no filter"),
        ("page=1&page=1", "page: given more than once"),
        ("page=0x1", "page: not 1 to"),
        ("page=٣", "page: not 1 to"),
        ("page=1_0", "page: not 1 to"),
        ("page=100000000", "page: not 1 to"),
        ("size=26", "size: not one of"),
        ("sort=c0", "sort: not one of listed, image_id, score"),
        ("order=DESC", "order: not one of up, down"),
        ("outcome=any", "outcome: not one of ok, failed"),
        ("score_min=inf", "score_min: not a number"),
        ("score_min=1e999", "score_min: not a number"),
        ("score_max=1_0", "score_max: not a number"),
        (f"label={'x' * 1001}", "label: longer than"),
    ],
)
def test_anything_else_is_refused(address: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parsed(address)
