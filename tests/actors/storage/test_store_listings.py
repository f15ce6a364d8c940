from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import flaky
import obstore.exceptions as obs
import pytest
from flaky import Flaky
from s3 import S3

from actors.storage.remote_store import RemoteStore


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


def keys(store: RemoteStore, prefix: str, num_rows: int = 1000) -> list[str]:
    return [key for page in store.pages(prefix, num_rows) for key, _, _ in page]


@pytest.mark.slow
def test_a_listing_goes_on_where_it_broke_off(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: s3.put(f"{prefix}/{number:04d}", b"x"), range(1100)))  # more than a page of S3
    for damage in ("half", "reset"):
        proxy.damage("continuation-token", damage)
        assert keys(store, prefix, 300) == [f"{prefix}/{number:04d}" for number in range(1100)]
    assert proxy.count("start-after") == 2


def test_a_listing_that_stays_broken_is_no_short_one(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    s3.put(f"{prefix}/x", b"x")
    proxy.damage("list-type", *["half"] * 5)
    with pytest.raises(obs.GenericError):
        keys(store, prefix)
    assert proxy.count("list-type") == 5


def test_children_are_asked_for_without_what_is_in_them(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    for key in ("a/1", "a/2", "b c/deep/1", "file"):
        s3.put(f"{prefix}/{key}", b"x")
    assert store.children(prefix) == [f"{prefix}/a", f"{prefix}/b c"]
    assert store.children(f"{prefix}/none") == []
    # An empty listing is requested twice, with a listing of the root between them.
    assert len(proxy.requests) == 1 + 3


@pytest.mark.slow
def test_a_listing_that_a_web_page_ends_goes_on(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: s3.put(f"{prefix}/{number:04d}", b"x"), range(1100)))  # more than a page of S3
    proxy.damage("continuation-token", flaky.HTML)
    assert len(keys(store, prefix, 300)) == 1100
