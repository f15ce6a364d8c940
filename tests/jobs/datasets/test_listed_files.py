from __future__ import annotations

import os
from pathlib import Path

from places import Place
from web import serve_folder

from actors.storage.store import Storage
from jobs.datasets.listed_files import File, batch_of, describe, is_web, representable


def test_a_file_is_described_as_its_folder_lists_it(tmp_path: Path) -> None:
    (tmp_path / "a b#?.jpg").write_bytes(b"123")
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.jpg")).write_bytes(b"1")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    storage = Storage()
    listed = [File(**row) for batch in storage.list(str(tmp_path)) for row in batch.to_pylist()]
    assert sorted(listed) == sorted(describe(file.uri, storage) for file in listed)
    assert sorted(listed) == sorted(describe(str(path), storage) for path in tmp_path.iterdir())


def test_a_remote_file_is_described_as_its_folder_lists_it(place: Place) -> None:
    uri = place.put("x y#.jpg", b"1234")
    storage = Storage(place.options)
    assert [File(**row) for batch in storage.list(place.root) for row in batch.to_pylist()] == [describe(uri, storage)]
    assert describe(uri, storage).size == 4
    assert describe(uri, storage).version


def test_a_web_server_tells_a_version_where_it_knows_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1234")
    with serve_folder(tmp_path) as (url, _):
        before = describe(f"{url}/x", Storage())
        os.utime(tmp_path / "x", (0, 1_000_000_000))
        after = describe(f"{url}/x", Storage())
    assert before.size == after.size == 4
    assert before.version != after.version == "2001-09-09 01:46:40+00:00"


def test_a_batch_is_a_listing() -> None:
    batch = batch_of([File("a", 1, "v"), File("b", None, None)])
    assert batch.to_pylist() == [{"uri": "a", "size": 1, "version": "v"}, {"uri": "b", "size": None, "version": None}]


def test_text_stays_as_it_is() -> None:
    assert representable("/日本/a b%20#?.jpg") == "/日本/a b%20#?.jpg"
    assert representable(os.fsdecode(b"/a b/\xff.jpg")) == "file:///a%20b/%FF.jpg"


def test_urls_of_the_web() -> None:
    assert [is_web(uri) for uri in ("http://h", "https://h/x", "s3://h/x", "/http://h")] == [True, True, False, False]
