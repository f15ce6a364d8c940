from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import Place

import jobs.runs.image_keys
import jobs.runs.incremental
from actors.columns import OFFSET, URI, VERSION
from actors.errors import JobError
from actors.reading.shards import Layout, Shards
from actors.storage.store import Storage
from jobs.datasets.kept_columns import entry_schema, entry_table
from jobs.runs.incremental import done_images, only_new
from jobs.runs.inventory import write_inventory

SCHEMA = entry_schema(has_target=True, kept=[pa.field("tags", pa.list_(pa.string()))])
Image = tuple[str, str | None]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary folders; must be empty after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def table_of(images: list[Image], start: int = 0) -> pa.Table:
    uris, versions = ([image[side] for image in images] for side in (0, 1))
    numbers = range(start, start + len(images))
    columns = {
        URI: pa.array(uris, pa.string()),
        VERSION: pa.array(versions, pa.string()),
        OFFSET: pa.array(numbers, pa.int64()),
        "tags": pa.array([[str(number), None] for number in numbers], pa.list_(pa.string())),
    }
    return entry_table(columns, SCHEMA)


def tables_of(*lists: list[Image]) -> list[pa.Table]:
    starts = np.cumsum([0, *map(len, lists)])
    return [table_of(images, int(start)) for images, start in zip(lists, starts, strict=False)]


def batches_of(images: list[Image], size: int = 100) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(images) + 1, size):
        yield from table_of(images[start : start + size]).select([URI, VERSION]).to_batches()


def images_of(tables: list[pa.Table]) -> list[list[Image]]:
    return [list(zip(table[URI].to_pylist(), table[VERSION].to_pylist(), strict=True)) for table in tables]


def numbered(count: int, version: str = "v1") -> list[Image]:
    return [(f"s3://bucket/{number}.jpg", version) for number in range(count)]


@pytest.mark.parametrize("seed", range(12))
def test_it_gives_what_a_set_would(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.runs.image_keys, "CHUNK_ROWS", [3, 40, 1 << 17][seed % 3])
    generator = np.random.default_rng(seed)

    def draw(count: int) -> list[Image]:
        # Few and short, so that many coincide, and with characters that could be mistaken for a separator.
        texts = ["".join(generator.choice([*"ab1=:#\n\0é猫"], generator.integers(0, 3))) for _ in range(2 * count)]
        return [(uri, [None, "", text][generator.integers(3)]) for uri, text in zip(*[iter(texts)] * 2, strict=True)]

    done = draw(150)
    tables = tables_of(*[draw(size) for size in generator.integers(0, 30, 20)])
    first, *given = only_new(iter(tables), batches_of(done, 40))
    assert first.equals(SCHEMA.empty_table())
    known = set(done)
    masks = [[image not in known for image in images] for images in images_of(tables)]
    expected = [table.filter(pa.array(mask, pa.bool_())) for table, mask in zip(tables, masks, strict=True)]
    assert given == [table for table in expected if len(table)]


def test_nothing_new_is_an_empty_inventory(tmp_path: Path) -> None:
    tables = list(only_new(iter(tables_of(numbered(5), [], numbered(3))), batches_of(numbered(9))))
    assert [(len(table), table.schema) for table in tables] == [(0, SCHEMA)]
    assert write(tmp_path / "inventory", tables).num_rows == 0


def test_everything_new_comes_as_it_was_listed() -> None:
    tables = tables_of(numbered(5), [], numbered(140_000), numbered(3))  # more than DuckDB returns at once
    given = list(only_new(iter(tables), batches_of(numbered(1, "v0"))))
    assert given == [SCHEMA.empty_table(), *(table for table in tables if len(table))]


def test_an_empty_dataset() -> None:
    assert list(only_new(iter([SCHEMA.empty_table()]), batches_of(numbered(1)))) == [SCHEMA.empty_table()]


def test_with_nothing_done_tables_are_passed_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    tables = tables_of([], numbered(5), numbered(3))
    listing = iter(tables)
    new = only_new(listing, iter([pa.RecordBatch.from_pylist([], SCHEMA)]))
    assert next(new) is tables[0]
    assert next(listing) is tables[1]  # none is read ahead
    assert list(new) == tables[2:]


def broken(tables: list[pa.Table], error: BaseException) -> Iterator[pa.Table]:
    yield from tables
    raise error


@pytest.mark.parametrize("tables", [[], tables_of(numbered(5)), tables_of(numbered(140_000), numbered(5))])
def test_what_is_wrong_with_the_listing_comes_through(tables: list[pa.Table]) -> None:
    error = JobError("dataset.path=x: gone", fix="look")
    with pytest.raises(JobError) as caught:
        list(only_new(broken(tables, error), batches_of(numbered(5))))
    assert caught.value is error
    with pytest.raises(JobError) as caught:
        list(only_new(broken(tables, error), iter([])))
    assert caught.value is error


def test_what_is_wrong_with_the_inventories_comes_through() -> None:
    error = PermissionError("no")
    done = broken([table_of(numbered(5)).to_batches()[0]], error)
    with pytest.raises(PermissionError) as caught:
        list(only_new(iter(tables_of(numbered(5))), done))
    assert caught.value is error


def test_images_of_a_damaged_row_group_count_as_new_and_those_of_others_do_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards = write(tmp_path / "inventory", tables_of(numbered(12)))
    (file,) = (tmp_path / "inventory").iterdir()
    column = pq.read_metadata(file).row_group(1).column(shards.schema.get_field_index(URI))
    data = bytearray(file.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    file.write_bytes(data)
    new = images_of(list(only_new(iter(tables_of(numbered(12))), done_images([shards]))))
    num_lost = int(shards.sizes[1])
    assert num_lost
    assert [image for images in new for image in images] == numbered(12)[shards.sizes[0] :][:num_lost]
    assert "row group 1: damaged (" in caplog.text


def test_nothing_is_left_by_a_consumer_that_stops(temporary: Path) -> None:
    new = only_new(iter(tables_of(*[numbered(100)] * 9)), batches_of(numbered(3)))
    next(new)
    assert len(next(new)) == 97
    assert len(list(temporary.iterdir())) == 1
    new.close()  # type: ignore[attr-defined]
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_said_with_its_fix() -> None:
    generator = np.random.default_rng(0)
    table = table_of([(generator.bytes(50).hex(), None) for _ in range(20_000)])  # 2 MB that hardly compress
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(JobError, match=r"cannot hold the comparison with earlier runs: .*\n.*TMPDIR"):
            list(only_new(iter([table]), batches_of(numbered(5))))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def write(folder: Path | str, tables: list[pa.Table], storage: Storage | None = None, shard_size: int = 4) -> Shards:
    return write_inventory(
        iter(tables),
        storage=storage or Storage(),
        folder=str(folder),
        shard_size=shard_size,
        layout=Layout.FILES,
        image_column=None,
    )


def test_done_images_are_those_of_all_inventories(place: Place) -> None:
    storage = Storage(place.options)
    contents = [numbered(1000), [], [("日本 #?\n.jpg", None)], numbered(7, "v2")]
    written = [write(f"{place.root}/{number}", tables_of(images), storage) for number, images in enumerate(contents)]
    expected = [image for images in contents for image in images]
    opened = (Shards.open(storage, shards.folder) for shards in written)
    for shards in (written, opened):
        batches = list(done_images(shards))
        assert {tuple(batch.schema.names) for batch in batches} == {(URI, VERSION)}
        assert [
            image for images in images_of([pa.Table.from_batches([b]) for b in batches]) for image in images
        ] == expected
    assert len(list(only_new(iter(tables_of(*contents)), done_images(written)))) == 1


def test_inventories_of_large_shards_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.runs.incremental, "_PIECE_ROWS", 10)
    for shard_size in (3, 10, 400):
        shards = write(tmp_path / str(shard_size), tables_of(numbered(1000)), shard_size=shard_size)
        sizes = [sum(table.num_rows for table in [batch]) for batch in done_images([shards])]
        assert (sum(sizes), max(sizes)) == (1000, max(shard_size, 9))


def test_an_inventory_that_cannot_be_read(tmp_path: Path) -> None:
    shards = write(tmp_path / "inventory", tables_of(numbered(1000)))
    (tmp_path / "inventory/inventory-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        list(only_new(iter(tables_of(numbered(5))), done_images([shards])))
