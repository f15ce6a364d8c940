from __future__ import annotations

from pathlib import Path

import pytest
from places import Place

from actors.storage.store import LISTING_ROWS, Storage
from actors.storage.uris import join
from jobs.datasets.globs import glob, is_glob
from jobs.datasets.selection import Selection

FILES = [
    "top.jpg",
    "notes.txt",
    ".hidden.jpg",
    "2023/jan/a.jpg",
    "2023/jan/a.txt",
    "2024/jan/a.jpg",
    "2024/jan/b.JPG",
    "2024/feb/a.jpg",
    "2024/feb/raw/a.jpg",
    "日本/[1].jpg",
]


@pytest.fixture
def filled(place: Place) -> Place:
    for name in FILES:
        place.put(name, b"x")
    return place


def matched(place: Place, pattern: str) -> list[str]:
    batches = glob(join(place.root, pattern), Storage(place.options), Selection([".jpg"]))
    uris = [uri for batch in batches for uri in batch["uri"].to_pylist()]
    return sorted(uri.removeprefix(f"{place.root}/") for uri in uris)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["top.jpg"]),
        (".h*.jpg", [".hidden.jpg"]),  # hidden, but named by the pattern
        ("*.txt", ["notes.txt"]),  # any suffix
        ("t?p.jpg", ["top.jpg"]),
        ("*/jan/a.*", ["2023/jan/a.jpg", "2023/jan/a.txt", "2024/jan/a.jpg"]),
        ("202[45]/jan/*", ["2024/jan/a.jpg", "2024/jan/b.JPG"]),
        ("202[!4]/*/*.jpg", ["2023/jan/a.jpg"]),
        ("2024/**/a.jpg", ["2024/feb/a.jpg", "2024/feb/raw/a.jpg", "2024/jan/a.jpg"]),
        ("**/raw/**/*.jpg", ["2024/feb/raw/a.jpg"]),
        ("**/*.txt", ["2023/jan/a.txt", "notes.txt"]),
        ("202[3]", ["2023/jan/a.jpg"]),  # a folder: the images in it
        ("2024/f*", ["2024/feb/a.jpg", "2024/feb/raw/a.jpg"]),
        ("日本/[[]1].jpg", ["日本/[1].jpg"]),
        ("*.png", []),
    ],
)
def test_patterns(filled: Place, pattern: str, expected: list[str]) -> None:
    assert matched(filled, pattern) == expected


def test_everything_once_however_often_the_pattern_could_match(filled: Place) -> None:
    shown = sorted(set(FILES) - {".hidden.jpg"})
    assert matched(filled, "**") == shown
    assert matched(filled, "**/**/*") == shown


def test_only_folders_that_can_match_are_entered(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.jpg").touch()
    (tmp_path / "b").symlink_to("b")  # entering it would fail
    batches = list(glob(f"{tmp_path}/[a]/*.jpg", Storage(), Selection([])))
    assert [uri for batch in batches for uri in batch["uri"].to_pylist()] == [f"{tmp_path}/a/x.jpg"]


def test_a_large_folder_comes_in_bounded_batches(tmp_path: Path) -> None:
    for number in range(2 * LISTING_ROWS + 1):
        (tmp_path / f"{number}.jpg").touch()
    assert [len(batch) for batch in glob(f"{tmp_path}/*", Storage(), Selection([]))] == [LISTING_ROWS, LISTING_ROWS, 1]


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    import os  # noqa: PLC0415

    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "x.jpg").touch()
    for pattern in ("*/x.jpg", "**/x.jpg", "*"):
        batches = glob(f"{tmp_path}/{pattern}", Storage(), Selection([".jpg"]))
        assert [uri for batch in batches for uri in batch["uri"].to_pylist()] == [f"file://{tmp_path}/%FF/x.jpg"]


def test_what_could_be_a_glob() -> None:
    assert [is_glob(path) for path in ("a*", "a?", "a[1]", "s3://b/*", "https://h/x?y=*", "a{b}")] == [True] * 4 + [
        False
    ] * 2
