from __future__ import annotations

import sys
import threading
from dataclasses import fields, replace
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deadly import DeadlyStorage, Death
from photos import jpeg
from read_plans import WHOLE, plan_over, plan_over_ten
from wrong_decoders import WrongDecoder

from actors.columns import DECODE_S, ERROR, FILE, IMAGE_ID, PIXELS, READ_S, ROW, SHARD, STAGE, URI
from actors.decoding.config import FittedBatch
from actors.reading.reader import ReadPlan, read_blocks, read_encoded, read_piece
from actors.reading.shards import Shards
from actors.row_ranges import Piece
from actors.storage.store import Storage
from actors.tasks.detection.tile import Tile
from actors.tracking.attempts import Row, Work, WorkerKilledError
from actors.tracking.ledger import Ledger


@pytest.fixture
def plan(tmp_path: Path) -> ReadPlan:
    return plan_over_ten(tmp_path)


def rows_of(blocks: list[pa.Table]) -> list[list[tuple[int, int]]]:
    return [list(zip(block[SHARD].to_pylist(), block[ROW].to_pylist(), strict=True)) for block in blocks]


def test_every_row_comes_once_in_blocks_of_a_batch(plan: ReadPlan) -> None:
    blocks = [list(read_piece(plan, piece, Ledger())) for piece in WHOLE]
    assert [[len(block) for block in shard] for shard in blocks] == [[4, 3], [3]]
    table = pa.concat_tables(block for shard in blocks for block in shard)
    assert sorted(zip(table[SHARD].to_pylist(), table[ROW].to_pylist(), strict=True)) == [
        (row // 7, row % 7) for row in range(10)
    ]
    by_name = dict(zip(table[IMAGE_ID].to_pylist(), table[ERROR].to_pylist(), strict=True))
    assert {Path(name).name: error for name, error in by_name.items() if error} == {"4.jpg": "empty"}
    assert table[PIXELS].type == pa.binary(16 * 16 * 3)
    assert FILE not in table.column_names


def test_a_block_may_be_several_batches(plan: ReadPlan) -> None:
    wider = replace(plan, batch_size=2, batches_a_block=2)
    for piece in WHOLE:
        assert rows_of(list(read_piece(wider, piece, Ledger()))) == rows_of(list(read_piece(plan, piece, Ledger())))


@pytest.mark.parametrize("is_careful", [False, True])
def test_blocks_hold_pixels_of_a_decoder_until_they_are_packed(plan: ReadPlan, *, is_careful: bool) -> None:
    decoder, ledger = WrongDecoder(plan.limits, plan.preprocess), Ledger()
    if is_careful:
        with pytest.raises(Death):
            list(read_blocks(plan, WHOLE[0], ledger, _dying))
    blocks = list(read_blocks(plan, WHOLE[0], ledger, decoder))
    tables = list(read_piece(plan, WHOLE[0], Ledger(), decoder))
    assert [len(block.pixels_nhwc) for block in blocks] == [4, 3]
    for block, table in zip(blocks, tables, strict=True):
        assert PIXELS not in block.rows.column_names
        assert block.packed().drop_columns([READ_S, DECODE_S]) == table.drop_columns([READ_S, DECODE_S])


def _dying(_: object) -> FittedBatch:
    raise Death


class InParallel(Storage):
    """Answers only when ``parties`` requests are in flight."""

    def __init__(self, parties: int) -> None:
        super().__init__()
        self._all = threading.Barrier(parties, timeout=30)

    def read(self, uri: str, *, max_bytes: int | None = None) -> bytes:
        self._all.wait()
        return super().read(uri.removeprefix("s3:/"), max_bytes=max_bytes)


class Remote(Shards):
    """An inventory whose images appear to be on remote storage."""

    def load(self, shard: int) -> pa.Table:
        rows = super().load(shard)
        uris = pc.binary_join_element_wise("s3:/", rows[URI], "")
        return rows.set_column(rows.schema.get_field_index(URI), rows.schema.field(URI), uris)


def test_as_many_requests_are_in_flight_as_the_plan_allows(plan: ReadPlan) -> None:
    shards = Remote(**{field.name: getattr(plan.shards, field.name) for field in fields(plan.shards)})
    in_fives = replace(plan, shards=shards, storage=InParallel(5), batch_size=10, concurrency=5)
    (block,) = read_piece(in_fives, Piece(0, ((0, 5),)), Ledger())
    assert block[ERROR].to_pylist() == [None, None, None, None, "empty"]


class Holding(Ledger):
    """Keeps a reference to its caller, the reader, like a reference cycle before garbage collection."""

    def start_batch(self, work: Work, row: Row) -> bool:
        self.reader = sys._getframe(1).f_locals["self"]
        return super().start_batch(work, row)


def test_no_thread_is_left_to_the_garbage_collector(plan: ReadPlan) -> None:
    before = threading.active_count()
    ledger = Holding()
    for _ in read_piece(plan, WHOLE[0], ledger):
        assert threading.active_count() > before
    assert ledger.reader
    assert threading.active_count() == before


def test_only_the_rows_of_the_piece_are_read(plan: ReadPlan) -> None:
    blocks = list(read_piece(plan, Piece(0, ((1, 3), (5, 7))), Ledger()))
    assert rows_of(blocks) == [[(0, 1), (0, 2), (0, 5), (0, 6)]]


def test_while_draining_nothing_more_is_read(plan: ReadPlan) -> None:
    ledger = Ledger()
    blocks = read_piece(plan, WHOLE[0], ledger)
    assert len(next(blocks)) == 4
    ledger.drain()
    assert list(blocks) == []
    assert list(read_piece(plan, WHOLE[1], ledger)) == []
    assert not ledger.snapshot().events


def attempts(plan: ReadPlan, piece: Piece, ledger: Ledger) -> tuple[int, list[pa.Table]]:
    """Returns the number of workers needed and the blocks of the last one."""
    for number in count(1):
        try:
            return number, list(read_piece(plan, piece, ledger))
        except Death:
            assert number < 20
    raise AssertionError


@pytest.mark.parametrize(
    ("stage", "deadly", "num_attempts"),
    [
        ("decode", [5], 4),  # in its batch, twice alone, then without it
        ("decode", [0], 4),
        ("decode", [5, 6], 6),
        ("decode", [1, 17], 7),
        ("decode", [4, 5, 6, 7], 10),
        ("read", [1], 4),
        ("read", [5], 4),
    ],
)
def test_deadly_images_are_quarantined_and_all_others_come_in_the_same_blocks(
    stage: str, deadly: list[int], num_attempts: int, tmp_path: Path
) -> None:
    images = {
        f"{number:02} {f'{stage}=die' if number in deadly else ''}.jpg": jpeg(number, width=40, height=30)
        for number in range(18)
    }
    plan = plan_over(tmp_path, images, DeadlyStorage(), shard_size=18)
    ledger, piece = Ledger(), Piece(0, ((0, 18),))
    num_workers, blocks = attempts(plan, piece, ledger)
    assert num_workers == num_attempts, ledger.snapshot().events
    clean = list(read_piece(replace(plan, storage=Storage()), piece, Ledger()))
    assert [len(block) for block in blocks] == [4, 4, 4, 4, 2]
    assert rows_of(blocks) == rows_of(clean)
    table, expected = pa.concat_tables(blocks), pa.concat_tables(clean)
    assert table.schema == expected.schema
    assert table[STAGE].to_pylist() == [stage if number in deadly else None for number in range(18)]
    assert set(table[ERROR].to_pylist()) == {"killed_worker", None}
    good = [number for number in range(18) if number not in deadly]
    assert table.take(good).drop_columns([READ_S]).column(PIXELS) == expected.take(good)[PIXELS]
    again = list(read_piece(plan, piece, ledger))  # as after a lost node
    assert pa.concat_tables(again)[ERROR] == table[ERROR]
    assert rows_of(again) == rows_of(clean)


def test_a_decoder_that_kills_at_every_image_ends_the_job(tmp_path: Path) -> None:
    images = {f"{number} decode=die.jpg": jpeg(number) for number in range(7)}
    plan = plan_over(tmp_path, images, DeadlyStorage())
    with pytest.raises(WorkerKilledError, match="reading and decoding killed its worker at 3 images in a row"):
        attempts(plan, WHOLE[0], Ledger())


def test_a_careful_batch_ends_where_large_images_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("actors.reading.reader", "actors.reading.fetcher"):
        monkeypatch.setattr(f"{module}.BATCH_BYTES", len(jpeg(1)) * 2)
    plan = plan_over(tmp_path, {f"{number}.jpg": jpeg(1) for number in range(7)}, Storage())
    ledger = NotingLedger()
    first = read_piece(plan, WHOLE[0], ledger)
    next(first)  # then the worker dies
    blocks = list(read_piece(plan, WHOLE[0], ledger))
    assert [len(block) for block in blocks] == [2, 2, 2, 1]
    assert {row for row, _ in ledger.notes} == {(0, 2), (0, 3)}


class NotingLedger(Ledger):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[Row, str]] = []

    def start_image(self, work: Work, row: Row, stage: str) -> None:
        self.notes.append((row, stage))
        super().start_image(work, row, stage)


def test_only_the_batch_of_a_death_is_read_image_by_image(plan: ReadPlan) -> None:
    ledger = NotingLedger()
    first = read_piece(plan, WHOLE[0], ledger)
    next(first)  # then the worker dies
    assert [len(block) for block in read_piece(plan, WHOLE[0], ledger)] == [4, 3]
    assert ledger.notes == [
        ((0, 4), "read"),  # it has no bytes to decode
        *[((0, row), stage) for row in (5, 6) for stage in ("read", "decode")],
    ]


def test_encoded_images_come_in_the_same_blocks_whole_or_carefully(plan: ReadPlan) -> None:
    piece = WHOLE[0]
    decoded = list(read_blocks(plan, piece, Ledger()))
    encoded = list(read_encoded(plan, piece, Ledger()))
    assert [block.rows[ROW].to_pylist() for block in encoded] == [block.rows[ROW].to_pylist() for block in decoded]
    assert [block.rows[ERROR].to_pylist() for block in encoded] == [[None] * 4, ["empty", None, None]]
    assert [image for block in encoded for image in block.images if isinstance(image, bytes)] == [
        jpeg(number, width=40, height=30) for number in range(7) if number != 4
    ]
    ledger = Ledger()
    ledger.begin(Work("read", (piece,)), "a worker that dies")
    careful = list(read_encoded(plan, piece, ledger))
    for given, expected in zip(careful, encoded, strict=True):
        assert list(map(str, given.images)) == list(map(str, expected.images))
        assert given.rows.drop_columns([READ_S]) == expected.rows.drop_columns([READ_S])


def test_blocks_of_images_to_be_cut_end_at_fewer_bytes(plan: ReadPlan) -> None:
    assert replace(plan, tile=Tile(64)).batch_bytes < plan.batch_bytes
