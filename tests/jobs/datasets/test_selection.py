from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from listings import entries_of
from places import Place
from tars import tar_of

from actors.columns import URI
from actors.errors import JobError
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.passed_over import COMPANION
from jobs.datasets.selection import Unreadable, below, ends_with
from jobs.datasets.webdataset import WebDataset

# Names that other tools leave next to a dataset's own, with the reason why they are passed over.
LEFTOVERS = {
    "._a{}": "hidden",  # macOS, on foreign disks
    ".ipynb_checkpoints/a-checkpoint{}": "hidden",
    ".hidden/deep/a{}": "hidden",
    "@eaDir/a{}/thumb{}": "hidden",  # Synology
    "_temporary/0/a{}": "underscore",  # Spark
    "_delta_log/1.checkpoint{}": "underscore",
    "_SUCCESS": "underscore",
    "deep/_metadata{}": "underscore",
    "notes.doc": "extension",
    "noending": "extension",
    "left/out{}": "excluded",
    "deep/thumb_a{}": "excluded",
}
TABLE = pa.table({"image": [b"1", b"2", b"3"]})


def parquet_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


# For each kind of dataset: the suffix and content of its files, and the number of images and other items in each.
KINDS = [
    (ImagesDataset, ".jpg", b"x", 1, {}),
    (ManifestDataset, ".csv", b"uri\na.jpg\nb.jpg\n", 2, {}),
    (ParquetDataset, ".parquet", parquet_of(TABLE), 3, {}),
    (
        WebDataset,
        ".tar",
        tar_of(dict.fromkeys(["1.jpg", "1.json", "2.jpg", "2.png", "._2.jpg", "3.txt", "noending"], b"")),
        2,
        {COMPANION: 2, "hidden": 1, "extension": 2},
    ),
]


@pytest.mark.parametrize(("kind", "suffix", "data", "num_images", "inside"), KINDS)
def test_what_exists_is_listed_or_passed_over_by_reason(
    kind: type[Dataset], suffix: str, data: bytes, num_images: int, inside: dict[str, int], place: Place
) -> None:
    names = [f"a{suffix}", f"deep/er/b{suffix.upper()}", f"e\u0301 #{suffix}"]
    for name in [*names, *(name.replace("{}", suffix) for name in LEFTOVERS)]:
        place.put(f"_base/.data/{name}", data)  # the given path may contain such names
    dataset = kind(path=f"{place.root}/_base/.data", exclude=["left/", "thumb_*"], storage_options=place.options)
    dataset.check()
    num_listed = len(entries_of(dataset))
    reasons = {reason: list(LEFTOVERS.values()).count(reason) for reason in LEFTOVERS.values()}
    in_files = {reason: number * len(names) for reason, number in inside.items()}
    assert num_listed == num_images * len(names)
    assert dataset.passed_over.counts == {
        reason: reasons.get(reason, 0) + in_files.get(reason, 0) for reason in {*reasons, *in_files}
    }
    num_files = len(names) + len(LEFTOVERS)
    num_members = (num_images + sum(inside.values())) * len(names)
    assert num_files - len(names) + num_members == num_listed + dataset.passed_over.total


def names_of(place: Place, *, path: str = "", **keys: list[str]) -> set[str]:
    dataset = ImagesDataset(path=f"{place.root}{path}", storage_options=place.options, **keys)
    return {uri.removeprefix(f"{place.root}/") for uri in entries_of(dataset)[URI].to_pylist()}


def test_patterns_include_and_exclude(place: Place) -> None:
    for name in ("a.jpg", "_b.jpg", ".c/d.jpg", "e/f/g.jpg", "e/f/h.png", "e/i.jpg"):
        place.put(name, b"x")
    assert names_of(place) == {"a.jpg", "e/f/g.jpg", "e/f/h.png", "e/i.jpg"}
    assert names_of(place, include=["**"]) == {"a.jpg", "_b.jpg", ".c/d.jpg", "e/f/g.jpg", "e/f/h.png", "e/i.jpg"}
    assert names_of(place, include=["_*", ".c"]) == {"_b.jpg", ".c/d.jpg"}
    assert names_of(place, include=["e/*/*.jpg"]) == {"e/f/g.jpg"}
    assert names_of(place, exclude=["*.jpg"]) == {"e/f/h.png"}
    assert names_of(place, include=["*.jpg"], exclude=["f", "_b.jpg"]) == {"a.jpg", ".c/d.jpg", "e/i.jpg"}
    assert names_of(place, exclude=["e/f"]) == {"a.jpg", "e/i.jpg"}
    assert names_of(place, path="/*/*", exclude=["f"]) == {"e/i.jpg"}
    assert names_of(place, path="/**/.c/*") == {".c/d.jpg"}


def test_a_name_that_is_no_text_is_judged_too(tmp_path: Path) -> None:
    for name in (b"\xff.jpg", b"._\xff.jpg", b"_\xff/a.jpg"):
        path = Path(os.fsdecode(bytes(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.touch()
    dataset = ImagesDataset(path=str(tmp_path))
    assert entries_of(dataset)[URI].to_pylist() == [f"file://{tmp_path}/%FF.jpg"]
    assert dataset.passed_over.counts == {"hidden": 1, "underscore": 1}


# Runs as another user: root can read every folder.
_LIST = """
import os, sys
from jobs.datasets.images import ImagesDataset
from actors.errors import JobError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for below in ("", "/*", "/**", "/*/*", "/p*/**/*.jpg"):
    path = sys.argv[1] + below
    dataset = ImagesDataset(path=path, unreadable=sys.argv[2], exclude=sys.argv[3:], include=["*.jpg"])
    try:
        print(sum(map(len, dataset.entries())), dataset.passed_over.counts)
    except JobError as error:
        print(error.problem)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user")
@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["error"], "photos/lost+found in it cannot be read: Permission denied"),
        (["skip"], "1 {'unreadable': 1}"),
        (["error", "lost+found"], "1 {'excluded': 1}"),
    ],
)
def test_an_unreadable_folder_is_named_or_passed_over(told: list[str], said: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "photos/lost+found").mkdir(parents=True)
        Path(folder, "photos/a.jpg").touch()
        Path(folder, "photos/lost+found").chmod(0)
        Path(folder).chmod(0o755)
        command = [sys.executable, "-c", _LIST, folder, *told]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [said in line for line in done.stdout.splitlines()] == [True] * 5, done.stdout + done.stderr


def test_an_error_while_a_folder_is_entered_is_judged_by_its_name(tmp_path: Path) -> None:
    dataset, gone = ImagesDataset(path=str(tmp_path)), FileNotFoundError("gone")
    dataset.selection().pass_folder(f"{tmp_path}/.trash/x", str(tmp_path), gone)
    assert dataset.passed_over.counts == {"hidden": 1}
    with pytest.raises(JobError, match=r"folder .*/photos in it cannot be read: gone"):
        dataset.selection().pass_folder(f"{tmp_path}/photos", str(tmp_path), gone)
    skipping = ImagesDataset(path=str(tmp_path), unreadable=Unreadable.skip)
    skipping.selection().pass_folder(f"{tmp_path}/photos", str(tmp_path), gone)
    assert skipping.passed_over.examples == {"unreadable": [f"{tmp_path}/photos"]}


def test_the_path_below() -> None:
    assert below(pa.array(["/a/b", "/a/c/d"]), "/a").to_pylist() == ["b", "c/d"]
    assert below(pa.array(["/b"]), "/").to_pylist() == ["b"]
    assert below(pa.array(["s3://b/é/x"]), "s3://b/é/").to_pylist() == ["x"]
    assert below(pa.array(["/a b/c"]), "file:///a%20b").to_pylist() == ["c"]


def test_suffixes_of_any_case() -> None:
    names = pa.array(["a.JPG", "b.jpg\n", "c.İJPG", "jpg", "file:///%FF.Jpg", "d.jpg.txt"])
    assert ends_with(names, [".jpg"]).to_pylist() == [True, False, False, False, True, False]
    assert ends_with(names, []).to_pylist() == [False] * 6


def test_a_tar_with_links_adds_up(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("0.jpg"), io.BytesIO())
        for name, kind in (("1.jpg", tarfile.LNKTYPE), ("2.jpg", tarfile.SYMTYPE)):
            header = tarfile.TarInfo(name)
            header.type, header.linkname = kind, "0.jpg"
            tar.addfile(header)
    dataset = WebDataset(path=str(tmp_path))
    assert len(entries_of(dataset)) + dataset.passed_over.total == 3
    assert dataset.passed_over.counts == {"link": 1}
