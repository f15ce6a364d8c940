from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from odd_images import encode
from PIL import Image
from places import Place
from s3 import S3
from tars import tar_of
from web import serve_folder

from actors.columns import ERROR_FIELDS, URI
from actors.decoding.config import Decode, Truncated
from actors.storage.allowlist import Allowlist
from actors.storage.retries import Retry
from actors.storage.store import Storage
from jobs.datasets.base import Dataset
from jobs.datasets.images import ImagesDataset
from jobs.datasets.manifest import ManifestDataset
from jobs.datasets.parquet import ParquetDataset
from jobs.datasets.webdataset import WebDataset
from jobs.pages import picture_files
from jobs.pages.picture_files import Thumbnail, hex_dump, make_thumbnails
from jobs.runs.inventory import write_inventory
from jobs.runs.source_images import SourceImages

COLOURS = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (250, 250, 20), (20, 250, 250)]
FILES = {f"{number}.jpg": encode(Image.new("RGB", (200, 100), one), "JPEG") for number, one in enumerate(COLOURS)}


def source_of(dataset: Dataset, folder: Path) -> SourceImages:
    shards = write_inventory(
        dataset.entries(),
        storage=Storage(),
        folder=str(folder / "inventory"),
        shard_size=2,
        layout=dataset.layout,
        image_column=getattr(dataset, "image_column", None),
    )
    limits = Decode(truncated=Truncated.accept)
    return SourceImages(shards.without_sizes(), dataset.image_storage.with_retry(Retry(attempts=1)), limits)


def thumbnails(source: SourceImages, row: Mapping[str, Any] | None = None) -> dict[str, Thumbnail]:
    """Returns the thumbnails of all images by name, made in the reverse order of the inventory."""
    names = {}
    for shard in range(source.shards.num_shards):
        for place, uri in enumerate(source.shards.load(shard)[URI].to_pylist()):
            names[shard, place] = uri.rpartition("/")[2]
    made = make_thumbnails(source, {identity: dict(row or {}) for identity in reversed(names)}, end=None)
    assert list(made) == list(reversed(names))
    return {names[identity]: thumbnail for identity, thumbnail in made.items()}


def colours(made: Mapping[str, Thumbnail]) -> list[tuple[int, ...]]:
    """Returns the mean colour of each picture, in name order; none may have a note."""
    assert {thumbnail.note for thumbnail in made.values()} == {""}
    pictures = [Image.open(BytesIO(made[name].webp)) for name in sorted(made)]
    assert {picture.size for picture in pictures} == {(128, 64)}
    return [tuple(np.asarray(picture.convert("RGB")).mean(axis=(0, 1)).round(-1).astype(int)) for picture in pictures]


WANTED = [tuple(10 * round(value / 10) for value in colour) for colour in COLOURS]


def assert_same_colours(made: Mapping[str, Thumbnail]) -> None:
    np.testing.assert_allclose(colours(made), WANTED, atol=20)


def test_images_of_folders(place: Place, tmp_path: Path) -> None:
    for name, data in FILES.items():
        place.put(name, data)
    assert_same_colours(thumbnails(source_of(ImagesDataset(path=place.root, storage_options=place.options), tmp_path)))


def test_members_of_tars(s3: S3, tmp_path: Path) -> None:
    uri = s3.put("gallery/0.tar", tar_of(FILES))
    source = source_of(WebDataset(path=uri, storage_options=s3.options), tmp_path)
    assert_same_colours(thumbnails(source))
    s3.put("gallery/0.tar", tar_of(dict(reversed(FILES.items()))))
    assert ["has changed" in one.note for one in thumbnails(source).values()] == [True] * len(FILES)


def test_cells_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    pq.write_table(pa.table({"image": list(FILES.values())}), path, row_group_size=3)
    assert_same_colours(thumbnails(source_of(ParquetDataset(path=str(path)), tmp_path)))


def test_images_of_a_web_server(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    for name, data in FILES.items():
        (tmp_path / "www" / name).write_bytes(data)
    with serve_folder(tmp_path / "www") as (url, _):
        (tmp_path / "list.csv").write_text("\n".join(["uri", *(f"{url}/{name}" for name in FILES)]))
        assert_same_colours(thumbnails(source_of(ManifestDataset(path=str(tmp_path / "list.csv")), tmp_path)))


def test_changed_and_missing_images_have_a_note_instead(place: Place, tmp_path: Path) -> None:
    for name, data in FILES.items():
        place.put(name, data)
    source = source_of(ImagesDataset(path=place.root, storage_options=place.options), tmp_path)
    place.put("1.jpg", FILES["2.jpg"] + b"\0")
    made = thumbnails(source)
    assert [name for name, one in made.items() if one.note] == ["1.jpg"]
    assert made["1.jpg"] == Thumbnail(b"", "its file has changed since the run listed it; a new run lists it again")


def test_of_damaged_images_what_is_there_is_shown(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 200, 3), np.uint8))
    cut = encode(noise, "JPEG")
    files = {"cut.jpg": cut[: len(cut) // 2], "junk.jpg": b"<script>\xff\x00", "empty.jpg": b"", "big.png": b"9" * 99}
    for name, data in files.items():
        (tmp_path / "data" / name).write_bytes(data)
    source = source_of(ImagesDataset(path=str(tmp_path / "data")), tmp_path)
    failed = thumbnails(source, {field.name: "x" for field in ERROR_FIELDS})
    assert failed["cut.jpg"].webp
    assert failed["junk.jpg"] == Thumbnail(b"", "10 bytes: 3c 73 63 72 69 70 74 3e ff 00 <script>..")
    assert failed["big.png"].note.startswith("99 bytes: 39 39")
    assert len(failed["big.png"].note) < 300
    assert failed["empty.jpg"] == Thumbnail(b"", "there are no bytes")
    assert thumbnails(source)["junk.jpg"] == Thumbnail(b"", "not a known image format")


@pytest.mark.parametrize(
    ("stage", "kind", "is_read"),
    [("decode", "killed_worker", False), ("read", "stalled", False), ("predict", "out_of_memory", True)],
)
def test_images_that_ended_a_worker_are_not_read_again(tmp_path: Path, stage: str, kind: str, *, is_read: bool) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.jpg").write_bytes(FILES["0.jpg"])
    row = {field.name: "x" for field in ERROR_FIELDS} | {"stage": stage, "error": kind}
    made = thumbnails(source_of(ImagesDataset(path=str(tmp_path / "data")), tmp_path), row)["0.jpg"]
    assert (bool(made.webp), "killed the process" in made.note) == (is_read, not is_read)


def test_a_row_that_cannot_be_drawn_costs_only_its_picture(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.jpg").write_bytes(FILES["0.jpg"])
    source = source_of(ImagesDataset(path=str(tmp_path / "data")), tmp_path)
    row = {"width": 200, "height": 100, "detections": [{"label_id": 1}]}
    assert thumbnails(source, row)["0.jpg"].note.startswith("cannot be drawn: ")


def test_images_that_the_job_may_not_read_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.jpg").write_bytes(FILES["0.jpg"])
    source = source_of(ImagesDataset(path=str(tmp_path / "data")), tmp_path)
    shut = Storage(allow=Allowlist.parse([str(tmp_path / "elsewhere")]))
    (made,) = thumbnails(SourceImages(source.shards, shut, source.limits)).values()
    assert (made.webp, "dataset.allow" in made.note) == (b"", True)


def test_bytes_and_seconds_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for number in range(80):
        (tmp_path / "data" / f"{number}.jpg").write_bytes(FILES["0.jpg"])
    source = source_of(ImagesDataset(path=str(tmp_path / "data")), tmp_path)
    rows: dict[tuple[int, int], dict[str, Any]] = {(shard, row): {} for shard in range(40) for row in range(2)}
    assert {one.note for one in make_thumbnails(source, rows, end=time.monotonic()).values()} == {
        "not read: the time limit for pictures was reached"
    }
    monkeypatch.setattr(picture_files, "MAX_BYTES", 200)
    made = list(make_thumbnails(source, rows, end=None).values())
    assert [bool(one.webp) for one in made] == [True] * 32 + [False] * 48
    assert made[-1].note == "omitted: the page would become too large"


def test_a_server_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.jpg").write_bytes(FILES["0.jpg"])
    source = source_of(ImagesDataset(path=str(tmp_path / "data")), tmp_path)
    monkeypatch.setattr(Storage, "read", lambda *_, **__: time.sleep(3))
    since = time.monotonic()
    assert make_thumbnails(source, {(0, 0): {}}, end=since + 0.2)[0, 0].note.startswith("not read")
    assert time.monotonic() - since < 2


def test_first_bytes_are_shown_as_numbers_and_text() -> None:
    assert hex_dump(b"PK\x03\x04") == "4 bytes: 50 4b 03 04 PK.."
    assert hex_dump(b"a" * 5000).startswith("5,000 bytes: 61 61")
