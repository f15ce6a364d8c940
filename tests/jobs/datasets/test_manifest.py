from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listings import column_of, entries_of
from places import NAMES, Place
from web import serve_folder

from actors.columns import FILE, IMAGE_ID, OFFSET, SIZE, TARGET, URI, VERSION
from actors.errors import JobError
from actors.reading.shards import Layout
from jobs.datasets.image_versions import Versions
from jobs.datasets.manifest import ManifestDataset

CSV = """uri,id,label,year,score
a.jpg,007,cat,2020,0.5
sub/ü b.jpg,,,2021,
s3://bucket/x%20y.jpg,9,dog,,1.5
"""


def test_columns_of_a_csv(place: Place) -> None:
    path = place.put("lists/all.csv", CSV.encode())
    dataset = ManifestDataset(
        path=path,
        id_column="id",
        label_column="label",
        keep_columns=["score", "year"],
        storage_options=place.options,
    )
    dataset.check()
    entries = entries_of(dataset)
    assert entries.drop_columns([FILE, OFFSET, SIZE, VERSION]).to_pylist() == [
        {IMAGE_ID: "007", URI: f"{place.root}/lists/a.jpg", TARGET: "cat", "score": "0.5", "year": "2020"},
        {
            IMAGE_ID: f"{place.root}/lists/sub/ü b.jpg",
            URI: f"{place.root}/lists/sub/ü b.jpg",
            TARGET: None,
            "score": None,
            "year": "2021",
        },
        {IMAGE_ID: "9", URI: "s3://bucket/x%20y.jpg", TARGET: "dog", "score": "1.5", "year": None},
    ]
    assert dataset.layout is Layout.FILES
    assert dataset.kept_columns() == ["score", "year"]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.jsonl", "x.parquet"])
def test_every_name_means_the_file_beside_the_manifest(name: str, place: Place) -> None:
    table = pa.table({"uri": NAMES})
    if name.endswith(".parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        data = sink.getvalue().to_pybytes()
    elif name.endswith(".jsonl"):
        import json  # noqa: PLC0415

        data = "".join(json.dumps({"uri": uri}) + "\n" for uri in NAMES).encode()
    else:
        data = ("uri\n" + "".join('"' + uri.replace('"', '""') + '"\n' for uri in NAMES)).encode()
        data = gzip.compress(data) if name.endswith(".gz") else data
    path = place.put(f"m/{name}", data)
    found = column_of(ManifestDataset(path=path, storage_options=place.options), URI)
    assert found == [f"{place.root}/m/{uri}" for uri in NAMES]


def test_dots_are_taken_from_the_folder_of_the_manifest(place: Place) -> None:
    path = place.put("m/x.csv", b"uri\n./a.jpg\n../b.jpg\nc/./../d.jpg\n/abs/../e.jpg\n..f.jpg\n")
    found = column_of(ManifestDataset(path=path, storage_options=place.options), URI)
    if place.server is None:
        found = [os.path.normpath(uri) for uri in found]
        assert found[3] == "/e.jpg"
    else:
        assert found[3] == "/abs/../e.jpg"
    del found[3]
    assert found == [f"{place.root}/{name}" for name in ("m/a.jpg", "b.jpg", "m/d.jpg", "m/..f.jpg")]


def test_a_row_without_a_uri_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('uri,id\n,1\n"",2\na.jpg,3\n')
    entries = entries_of(ManifestDataset(path=f"{tmp_path}/x.csv", id_column="id"))
    assert entries.select([IMAGE_ID, URI]).to_pylist() == [
        {IMAGE_ID: "1", URI: ""},
        {IMAGE_ID: "2", URI: ""},
        {IMAGE_ID: "3", URI: f"{tmp_path}/a.jpg"},
    ]


def test_a_folder_of_manifests_of_several_formats(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,n\n/a.jpg,1\n")
    (tmp_path / "b.tsv").write_text("n\tpath\n2\t/b.jpg\n")
    (tmp_path / "c.jsonl").write_text('{"path": "/c.jpg", "n": 3}\n')
    (tmp_path / "readme.txt").write_text("no manifest")
    pq.write_table(
        pa.table({"path": pa.array(["/d.jpg"]).dictionary_encode(), "n": pa.array([4], pa.int8())}),
        tmp_path / "d.parquet",
    )
    entries = entries_of(ManifestDataset(path=str(tmp_path), uri_column="path", keep_columns=["n"]))
    assert sorted(zip(entries[URI].to_pylist(), map(str, entries["n"].to_pylist()), strict=True)) == [
        ("/a.jpg", "1"),
        ("/b.jpg", "2"),
        ("/c.jpg", "3"),
        ("/d.jpg", "4"),
    ]


def test_a_manifest_from_a_web_server(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("uri\nhttps://h/a%20b.jpg?k=1\nc d.jpg\n../e.jpg\n")
    with serve_folder(tmp_path) as (url, _):
        path = f"{url}/x.csv?signature=SECRET"
        assert column_of(ManifestDataset(path=path), URI) == [
            "https://h/a%20b.jpg?k=1",
            f"{url}/c d.jpg",
            f"{url}/e.jpg",
        ]
        with pytest.raises(JobError, match="uri_column=nope") as caught:
            ManifestDataset(path=path, uri_column="nope").check()
    assert "SECRET" not in str(caught.value)


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "x.csv").write_text("uri\na b.jpg\n/c.jpg\n")
    found = column_of(ManifestDataset(path=str(tmp_path)), URI)
    assert found == [f"file://{tmp_path}/%FF/a%20b.jpg", "/c.jpg"]


@pytest.mark.parametrize(
    ("text", "settings", "problem"),
    [
        ("url\na.jpg\n", {}, r"dataset\.uri_column=uri: .* has no such column"),
        ("uri\na.jpg\n", {"id_column": "id"}, r"dataset\.id_column=id: "),
        ("uri\na.jpg\n", {"label_column": "y"}, r"dataset\.label_column=y: "),
        ("uri\na.jpg\n", {"keep_columns": ["z"]}, r"dataset\.keep_columns=z: "),
        ("uri\na.jpg\n", {"keep_columns": ["uri"]}, r"dataset\.keep_columns=uri: the output has"),
        ("uri,_x\na.jpg,1\n", {"keep_columns": ["_x"]}, r"dataset\.keep_columns=_x: the output has"),
        ("", {}, r"dataset\.path=.*x\.csv: the file is empty"),
        ("uri,b\na.jpg\n", {}, r"dataset\.path=.*x\.csv, line 2: 1 fields"),
    ],
)
def test_what_is_wrong_with_a_manifest(text: str, settings: dict[str, object], problem: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(JobError, match=problem):
        ManifestDataset(path=f"{tmp_path}/x.csv", **settings).check()


def test_a_uri_column_must_be_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": [1, 2]}), tmp_path / "x.parquet")
    with pytest.raises(JobError, match=r"dataset\.uri_column=uri: it is int64"):
        ManifestDataset(path=f"{tmp_path}/x.parquet").check()


def test_a_key_that_no_json_object_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.jsonl").write_text('{"uri": "a.jpg", "id": 1}\n')
    (tmp_path / "empty.jsonl").write_text("")
    dataset = ManifestDataset(path=str(tmp_path), id_column="Id")
    with pytest.raises(JobError, match=r"dataset\.id_column=Id: no object of .* has such a key"):
        list(dataset.entries())
    dataset.limit = 1
    assert len(entries_of(dataset)) == 1
    assert "dataset.id_column=Id: no object of" in caplog.text
    assert column_of(ManifestDataset(path=str(tmp_path), id_column="id"), IMAGE_ID) == ["1"]
    with pytest.raises(JobError, match=r"dataset\.uri_column=url: none of the first 1 objects of .* has such a key"):
        ManifestDataset(path=f"{tmp_path}/x.jsonl", uri_column="url").check()


def test_lines_that_are_passed_over_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("uri\n\na.jpg\n")
    dataset = ManifestDataset(path=f"{tmp_path}/x.csv")
    assert len(entries_of(dataset)) == 1
    assert dataset.passed_over.to_json() == {"blank line": {"count": 1, "examples": [f"{tmp_path}/x.csv, line 2"]}}


def test_a_later_manifest_without_the_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("uri\na.jpg\n")
    (tmp_path / "b.csv").write_text("url\na.jpg\n")
    with pytest.raises(JobError, match=r"dataset\.uri_column=uri: .*b\.csv has no such column"):
        list(ManifestDataset(path=[f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"]).entries())


def test_an_image_that_changed_has_another_version(place: Place) -> None:
    path = place.put("x.csv", b"uri\na.jpg\nb.jpg\ngone.jpg\n")
    place.put("b.jpg", b"b")
    place.put("a.jpg", b"a")
    dataset = ManifestDataset(path=path, storage_options=place.options)
    before = entries_of(dataset)
    place.put("a.jpg", b"other")
    after = entries_of(dataset)
    assert (before[SIZE].to_pylist(), after[SIZE].to_pylist()) == ([1, 1, None], [5, 1, None])
    assert [old != new for old, new in zip(before[VERSION].to_pylist(), after[VERSION].to_pylist(), strict=True)] == [
        True,
        False,
        False,
    ]
    dataset.versions = Versions.none
    assert entries_of(dataset)[VERSION].null_count == 3


def test_no_more_images_are_asked_for_than_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    with serve_folder(tmp_path) as (url, requests):
        (tmp_path / "x.csv").write_text("uri\n" + "".join(f"{url}/a.jpg\n" for _ in range(1000)))
        assert len(entries_of(ManifestDataset(path=f"{tmp_path}/x.csv", limit=3))) == 3
    assert len(requests) == 3


def test_uris_that_other_tools_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-mine")
    (tmp_path / "x.csv").write_text(
        "uri\nfile:/a%20b.jpg\nFILE:///a.jpg\nHTTPS://Host/A.jpg\n~/a.jpg\nS3://b/K\nx~/a\nC:/a\n"
    )
    assert column_of(ManifestDataset(path=f"{tmp_path}/x.csv", versions=Versions.none), URI) == [
        "file:/a%20b.jpg",  # unchanged: storage accepts schemes in any spelling
        "FILE:///a.jpg",
        "HTTPS://Host/A.jpg",
        "/home-of-mine/a.jpg",
        "S3://b/K",
        f"{tmp_path}/x~/a",
        f"{tmp_path}/C:/a",
    ]


def test_keys_that_came_later_make_no_other_dataset_of_an_old_config() -> None:
    dataset = ManifestDataset(path="/x.csv")
    assert not {"format", "csv", "versions"} & set(dataset.identity())
    dataset.csv.header = False
    assert dataset.identity()["csv"]["header"] is False


def test_the_pace_of_requests_is_no_part_of_the_identity(place: Place) -> None:
    path = place.put("one.csv", b"uri\na.jpg\n")
    slow, usual = (
        ManifestDataset(path=path, storage_options=place.options, version_requests=number) for number in (1, 64)
    )
    assert slow.identity() == usual.identity()
    assert "version_requests" not in usual.identity()


def test_no_request_at_all(place: Place) -> None:
    path = place.put("one.csv", b"uri\na.jpg\n")
    with pytest.raises(JobError, match=r"dataset\.version_requests=0: must be at least 1"):
        ManifestDataset(path=path, storage_options=place.options, version_requests=0).check()
