from __future__ import annotations

from pathlib import Path

import flaky
import pyarrow as pa
from places import Place
from s3 import S3

from actors.columns import FILE, VERSION
from actors.reading.container_versions import Containers, changed
from actors.storage.retries import Retry
from actors.storage.store import Storage


def rows(*listed: tuple[str, str | None]) -> pa.Table:
    uris, versions = zip(*listed, strict=True)
    return pa.table({FILE: uris, VERSION: pa.array(versions, pa.string())})


def look(containers: Containers, table: pa.Table) -> list[str]:
    looked_at = [(uri, version, containers.compare((uri, version)))[0] for uri, version in containers.unseen(table)]
    assert not list(containers.unseen(table))
    return looked_at


def test_what_has_changed_is_not_to_be_read(place: Place) -> None:
    storage = Storage(place.options)
    same, other, gone = (place.put(f"{name}.tar", b"1") for name in ("same", "other", "gone"))
    listed = rows(*((uri, storage.describe(uri)[1]) for uri in (same, same, other, gone)))
    place.put("other.tar", b"22")
    storage.delete([gone])
    containers = Containers(storage)
    assert look(containers, listed) == [same, other, gone]
    assert containers.problem(same) is None
    problems = [containers.problem(other), containers.problem(gone)]
    assert [(problem.stage, problem.kind) for problem in problems if problem] == [
        ("read", "changed"),
        ("read", "not_found"),
    ]


def test_an_unknown_version_is_not_compared(tmp_path: Path) -> None:
    containers = Containers(Storage())
    assert look(containers, rows((f"{tmp_path}/none.tar", None))) == []
    assert containers.problem(f"{tmp_path}/none.tar") is None


def test_each_file_is_asked_about_once(s3: S3) -> None:
    uri = s3.put("containers/x.tar", b"1")
    with flaky.serve(s3.url) as proxy:
        containers = Containers(Storage(proxy.options(s3)))
        for table in (rows((uri, "stale"), (uri, "stale")), rows((uri, "stale"))):
            look(containers, table)
        assert len(proxy.requests) == 1
    assert containers.problem(uri) is not None


def test_a_store_that_cannot_be_asked(s3: S3) -> None:
    uri = s3.put("containers/y.tar", b"1")
    with flaky.serve(s3.url) as proxy:
        proxy.damage("HEAD", "throttled", "throttled")
        containers = Containers(Storage(proxy.options(s3), Retry(attempts=2, first_wait_s=0.001)))
        look(containers, rows((uri, "any")))
    problem = containers.problem(uri)
    assert problem is not None
    assert problem.kind == "throttled"
    assert problem.message.endswith("(2 attempts)")


def test_the_message_says_what_to_do() -> None:
    assert "a new run" in changed().message
