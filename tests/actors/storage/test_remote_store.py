from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress

import flaky
import obstore.exceptions as obs
import pytest
from flaky import Flaky
from s3 import S3

from actors.errors import CredentialsError
from actors.storage.remote_store import RemoteStore
from actors.storage.retries import Retry, TransientError, transient_kind

QUICK = Retry(first_wait_s=0.001)
DAMAGE = [*flaky.KINDS, flaky.SILENT, flaky.DENIED_LATE, flaky.EXPIRED]


@pytest.fixture
def impatient(s3: S3, proxy: Flaky) -> RemoteStore:
    return RemoteStore(f"s3://{s3.bucket}", {**proxy.options(s3), "read_timeout": "500ms"}, QUICK)


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


def any_size(_: int) -> None:
    pass


def keys(store: RemoteStore, prefix: str, num_rows: int = 1000) -> list[str]:
    return [key for page in store.pages(prefix, num_rows) for key, _, _ in page]


OPERATIONS: dict[str, Callable[[RemoteStore, str], object]] = {
    "describe": lambda store, prefix: store.describe(f"{prefix}/x")[0],
    "modified": lambda store, prefix: store.modified(f"{prefix}/x").tzinfo,
    "read": lambda store, prefix: store.read(f"{prefix}/x", any_size),
    "read_range": lambda store, prefix: store.read_range(f"{prefix}/x", 2, 3),
    "pages": keys,
    "children": lambda store, prefix: store.children(prefix),
    "put": lambda store, prefix: store.put(f"{prefix}/new", b"new", create=False),
    "create": lambda store, prefix: store.put(f"{prefix}/new", b"new", create=True),
    "delete": lambda store, prefix: store.delete(f"{prefix}/x"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_each_operation_survives_each_kind_of_damage(
    name: str, damage: str, s3: S3, proxy: Flaky, impatient: RemoteStore, prefix: str
) -> None:
    s3.put(f"{prefix}/x", b"0123456789")
    s3.put(f"{prefix}/sub/y", b"y")
    operation, result = OPERATIONS[name], None
    proxy.damage("", damage)
    with suppress(FileExistsError):  # created by the first attempt, see below
        result = operation(impatient, prefix)
    undamaged = RemoteStore(f"s3://{s3.bucket}", s3.options, QUICK)
    if result is not None:
        assert result == operation(undamaged, prefix)
    elif name == "delete":
        assert keys(undamaged, prefix) == [f"{prefix}/sub/y"]
    else:
        assert undamaged.read(f"{prefix}/new", any_size) == b"new"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half", flaky.STALLED])
def test_half_a_body_is_never_taken_for_the_whole(
    damage: str, s3: S3, proxy: Flaky, impatient: RemoteStore, prefix: str
) -> None:
    data = os.urandom(1 << 20)
    s3.put(f"{prefix}/x", data)
    proxy.damage("GET", damage, damage)
    assert impatient.read(f"{prefix}/x", any_size) == data
    proxy.damage("GET", *[damage] * 5)
    with pytest.raises(obs.GenericError):
        impatient.read(f"{prefix}/x", any_size)
    assert proxy.count("GET") == 3 + 5


def test_a_range_that_is_shorter_than_it_says(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    s3.put(f"{prefix}/x", bytes(1000))
    proxy.damage("GET", flaky.SHORT)
    assert store.read_range(f"{prefix}/x", 10, 500) == bytes(500)
    proxy.damage("GET", *[flaky.SHORT] * 5)
    with pytest.raises(ConnectionError, match="ends after 250 of 500 bytes"):
        store.read_range(f"{prefix}/x", 10, 500)


def test_ranges_end_with_the_object(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    s3.put(f"{prefix}/x", b"0123456789")
    assert store.read_range(f"{prefix}/x", 8, 5) == b"89"
    assert store.read_range(f"{prefix}/x", 10, 5) == b""
    assert store.read_range(f"{prefix}/x", 3, 0) == b""
    assert proxy.count("GET") == 2


def test_the_size_is_checked_once_and_before_the_body(s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    s3.put(f"{prefix}/x", b"0123456789")

    def refuse(size: int) -> None:
        raise ValueError(size)

    with pytest.raises(ValueError, match="10"):
        store.read(f"{prefix}/x", refuse)
    assert proxy.count("GET") == 1


def test_what_is_not_there_is_asked_for_once(proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    for ask in (store.describe, lambda key: store.read(key, any_size), lambda key: store.read_range(key, 0, 1)):
        with pytest.raises(FileNotFoundError):
            ask(f"{prefix}/none")
    assert len(proxy.requests) == 3


@pytest.mark.parametrize("damage", ["lost", flaky.DENIED_LATE])
def test_an_object_that_stands_may_be_of_the_first_attempt(
    damage: str, proxy: Flaky, store: RemoteStore, prefix: str
) -> None:
    proxy.damage("PUT", damage)
    with pytest.raises(FileExistsError):
        store.put(f"{prefix}/x", b"by me", create=True)
    assert proxy.count("PUT") == 2
    assert store.read(f"{prefix}/x", any_size) == b"by me"


@pytest.mark.parametrize("damage", flaky.KINDS)
def test_who_came_second_is_told_so(damage: str, s3: S3, proxy: Flaky, store: RemoteStore, prefix: str) -> None:
    s3.put(f"{prefix}/x", b"by another")
    proxy.damage("PUT", damage, damage)
    with pytest.raises(FileExistsError, match=prefix):
        store.put(f"{prefix}/x", b"by me", create=True)
    assert store.read(f"{prefix}/x", any_size) == b"by another"


@pytest.mark.slow
def test_a_put_is_whole_or_absent(s3: S3, proxy: Flaky, prefix: str) -> None:
    store = RemoteStore(f"s3://{s3.bucket}", proxy.options(s3), QUICK)
    data = os.urandom(70 << 20)  # three data requests, with one before and one after
    proxy.damage("PUT", "reset", "lost", "slow_down")
    proxy.damage("POST", "server_error", "lost")
    store.put(f"{prefix}/x", data, create=False)
    assert store.read(f"{prefix}/x", any_size) == data
    assert proxy.count("PUT") + proxy.count("POST") > 5
    proxy.damage("POST", *["server_error"] * 5)
    with pytest.raises(obs.GenericError):
        store.put(f"{prefix}/y", data, create=False)
    proxy.damage("PUT", *["reset"] * 5)
    with pytest.raises(obs.GenericError):
        store.put(f"{prefix}/z", b"one request", create=False)
    assert keys(RemoteStore(f"s3://{s3.bucket}", s3.options, QUICK), prefix) == [f"{prefix}/x"]


def test_versions_are_those_of_the_listing(s3: S3, store: RemoteStore, prefix: str) -> None:
    s3.put(f"{prefix}/x", b"one")
    ((_, size, version),) = next(store.pages(prefix, 10))
    assert store.describe(f"{prefix}/x") == (size, version) == (3, "f97c5d29941bfb1b2fdab0874906ab82")


@pytest.mark.parametrize("name", OPERATIONS)
def test_credentials_that_stay_refused_stop_each_operation(
    name: str, s3: S3, proxy: Flaky, store: RemoteStore, prefix: str
) -> None:
    s3.put(f"{prefix}/x", b"0123456789")
    proxy.damage("", *[flaky.EXPIRED] * 100)
    with pytest.raises(CredentialsError, match=rf"s3://{s3.bucket}: .*refused: ExpiredToken: damaged; renew them"):
        OPERATIONS[name](store, prefix)
    assert 3 <= len(proxy.requests) <= 6


def test_renewed_credentials_are_read_anew(s3: S3, proxy: Flaky, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put(f"{prefix}/x", b"0123456789")
    options = {name: value for name, value in proxy.options(s3).items() if "key" not in name}
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "old")
    store = RemoteStore(f"s3://{s3.bucket}", options, QUICK)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
    proxy.damage("GET", flaky.EXPIRED)
    assert store.read(f"{prefix}/x", any_size) == b"0123456789"
    assert [request.user for request in proxy.requests] == ["old", "renewed"]


@pytest.mark.parametrize("name", ["describe", "read", "put"])
def test_one_object_that_is_denied_is_no_matter_of_credentials(
    name: str, s3: S3, proxy: Flaky, store: RemoteStore, prefix: str
) -> None:
    s3.put(f"{prefix}/x", b"0123456789")
    proxy.damage("", *[flaky.DENIED] * 100)
    with pytest.raises(obs.PermissionDeniedError):
        OPERATIONS[name](store, prefix)


def test_the_page_of_a_portal_is_no_object_and_no_answer_to_a_put(
    proxy: Flaky, store: RemoteStore, prefix: str
) -> None:
    key = f"{prefix}/x"
    proxy.damage("PUT /", flaky.HTML)
    store.put(key, b"abcdef", create=False)
    proxy.damage("GET /", flaky.HTML)
    assert store.read(key, lambda _: None) == b"abcdef"
    proxy.damage("GET /", flaky.HTML)
    assert store.read_range(key, 2, 3) == b"cde"
    assert (proxy.count("PUT /"), proxy.count("GET /")) == (2, 4)


@pytest.mark.parametrize("name", ["describe", "pages", "children"])
@pytest.mark.parametrize("damage", [flaky.HTML, flaky.EMPTY])
def test_what_is_no_answer_of_a_store_is_asked_for_again(
    name: str, damage: str, s3: S3, proxy: Flaky, store: RemoteStore, prefix: str
) -> None:
    s3.put(f"{prefix}/x", b"0123456789")
    s3.put(f"{prefix}/sub/y", b"y")
    proxy.damage("", damage, damage)
    assert OPERATIONS[name](store, prefix) == OPERATIONS[name](RemoteStore(store._root, s3.options, QUICK), prefix)
    proxy.damage("", *[damage] * 100)
    with pytest.raises((obs.GenericError, TransientError)) as raised:
        OPERATIONS[name](store, prefix)
    assert transient_kind(raised.value) == "server_error"
