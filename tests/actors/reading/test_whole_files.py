from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import flaky
import pyarrow as pa
import pyarrow.parquet as pq
from fetched import image, list_into, plain
from places import NAMES, Place, s3_place
from s3 import S3
from web import serve_folder

from actors.columns import VERSION
from actors.reading.fetcher import Fetcher
from jobs.datasets.image_versions import Versions
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset


def test_files_come_in_order_and_in_batches(place: Place, fetch: Any) -> None:
    expected = {place.put(f"{number}.jpg", image(number)): image(number) for number in range(60)}
    found, sizes = fetch(ImagesDataset(path=place.root, storage_options=place.options))
    assert found == expected
    assert sizes == [7, 7, 7, 7, 7, 7, 7, 1, 7, 3]


def test_every_name_is_read(place: Place, fetch: Any) -> None:
    expected = {place.put(name, name.encode()): name.encode() for name in NAMES}
    assert fetch(ImagesDataset(path=place.root, storage_options=place.options))[0] == expected
    lines = "".join('"' + name.replace('"', '""') + '"\n' for name in NAMES)
    manifest = place.put("all.csv", f"uri\n{lines}".encode())
    assert fetch(ManifestDataset(path=manifest, storage_options=place.options))[0] == expected


def test_odd_local_files_are_rows_and_none_hangs(tmp_path: Path, fetch: Any) -> None:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    (folder / "line\nfeed.jpg").write_bytes(b"1")
    Path(os.fsdecode(bytes(folder) + b"/\xff.jpg")).write_bytes(b"2")
    (folder / "empty.jpg").touch()
    (folder / "link.jpg").symlink_to("line\nfeed.jpg")
    (folder / "gone.jpg").symlink_to("nowhere")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    # Listings omit these, so they are named explicitly.
    named = [str(folder / name) for name in ("gone.jpg", "self.jpg", "pipe.jpg")]
    found, _ = fetch(ImagesDataset(path=[str(folder), *named]))
    assert {uri.rpartition("/")[2]: result for uri, result in found.items()} == {
        "line\nfeed.jpg": b"1",
        "%FF.jpg": b"2",
        "empty.jpg": "read/empty",
        "link.jpg": b"1",
        "gone.jpg": "read/not_found",
        "self.jpg": "read/io_error",
        "pipe.jpg": "read/io_error",
    }


def test_what_is_too_large_is_not_read(place: Place, fetch: Any) -> None:
    small, large = place.put("small.jpg", b"x" * 10), place.put("large.jpg", b"x" * 11)
    expected = {small: b"x" * 10, large: "read/too_large"}
    assert fetch(ImagesDataset(path=place.root, storage_options=place.options), max_bytes=10)[0] == expected
    manifest = place.put("all.csv", b"uri\nsmall.jpg\nlarge.jpg\n")
    for versions in Versions:
        dataset = ManifestDataset(path=manifest, storage_options=place.options, versions=versions)
        assert fetch(dataset, max_bytes=10)[0] == expected


def test_rows_of_a_manifest_that_cannot_be_read(place: Place, fetch: Any) -> None:
    place.put("a.jpg/b.jpg" if place.server else "a.jpg", b"a")
    rows = {
        "": "read/missing_uri",
        "none.jpg": "read/not_found",
        "nope://host/x.jpg": "read/invalid_name",
        "x\0y.jpg": "read/invalid_name",
        "http://127.0.0.1:1/x.jpg?sig=SECRET": "read/unreachable",
        "https://": "read/invalid_name",
        "double//slash.jpg": "read/invalid_name" if place.server else "read/not_found",
        "a.jpg/x.jpg": "read/not_found",
        "y" * 300 + ".jpg": "read/not_found" if place.server else "read/io_error",
    }
    table = pa.table({"uri": list(rows)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    manifest = place.put("all.parquet", sink.getvalue().to_pybytes())
    found, _ = fetch(ManifestDataset(path=manifest, storage_options=place.options))
    assert list(found.values()) == list(rows.values())


def test_a_manifest_of_web_addresses(tmp_path: Path, fetch: Any) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "ü b#1.jpg").write_bytes(b"data")
    with serve_folder(folder) as (url, requests):
        uris = [f"{url}/%C3%BC%20b%231.jpg", f"{url}/%C3%BC%20b%231.jpg?size=1%2F2&x=y", f"{url}/none.jpg"]
        (tmp_path / "all.csv").write_text("uri\n" + "\n".join(uris))
        found, _ = fetch(ManifestDataset(path=f"{tmp_path}/all.csv"))
    assert list(found.values()) == [b"data", b"data", "read/not_found"]
    assert "/%C3%BC%20b%231.jpg?size=1%2F2&x=y" in requests


def test_wrong_data_is_asked_for_once(s3: S3, proxy: flaky.Flaky, tmp_path: Path) -> None:
    place = s3_place(s3)
    place.put("empty.jpg", b"")
    place.put("large.jpg", bytes(1000))
    place.put("all.csv", b"uri\nempty.jpg\nlarge.jpg\nnone.jpg\ndouble//slash.jpg\n")
    path, options = f"{place.root}/all.csv", proxy.options(s3)
    dataset = ManifestDataset(path=path, storage_options=options, versions=Versions.none)
    shards = list_into(tmp_path / "inventory", dataset)
    before = len(proxy.requests)
    ((_, images),) = Fetcher(shards, dataset.storage, max_bytes=10).batches(shards.load(0), 100)
    kinds = ["read/empty", "read/too_large", "read/not_found", "read/invalid_name"]
    assert [plain(image) for image in images] == kinds
    assert sorted(request.path.rpartition("/")[2] for request in proxy.requests[before:]) == [
        "empty.jpg",
        "large.jpg",
        "none.jpg",
    ]


def test_what_the_allowlist_does_not_name_is_neither_read_nor_asked_for(fetch: Any, tmp_path: Path) -> None:
    for name in ("good/a.jpg", "good2/b.jpg", "c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"image")
    (tmp_path / "good/link.jpg").symlink_to(tmp_path / "c.jpg")
    with serve_folder(tmp_path) as (url, asked), serve_folder(tmp_path) as (other, asked_of_other):
        images = ["good/a.jpg", "good/none.jpg", "good2/b.jpg", "good2/none.jpg", "good/../c.jpg", "good/link.jpg"]
        uris = [*(f"{tmp_path}/{name}" for name in images), "FILE:///etc/shadow"]
        uris += [f"{url}/good/a.jpg", f"{url}/good2/b.jpg", f"{url}/good/../c.jpg", f"{other}/good/a.jpg"]
        (tmp_path / "list.txt").write_text("\n".join(uris))
        dataset = ManifestDataset(path=f"{tmp_path}/list.txt", allow=[f"{tmp_path}/good", f"{url}/good/"])
        entries = list(dataset.entries())
        found, _ = fetch(dataset)
    allowed = {uris[0]: b"image", uris[1]: "read/not_found", uris[7]: b"image"}
    assert found == dict.fromkeys(uris, "read/not_allowed") | allowed
    versions = zip(uris, pa.concat_tables(entries)[VERSION].to_pylist(), strict=True)
    assert [uri for uri, version in versions if version is not None] == [uris[0], uris[7]]
    assert set(asked) == {"/good/a.jpg"}
    assert asked_of_other == []
