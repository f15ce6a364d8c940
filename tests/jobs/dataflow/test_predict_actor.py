from __future__ import annotations

import io
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import deadly
import numpy as np
import pyarrow as pa
import pytest
import torch
from deadly import Death
from dying import poison, save_picky
from marks import marked_picture, save_marks
from overlapping import Overlapping
from photos import photo
from PIL import Image

from actors.columns import DECODE_S, ERROR, PIXELS, PREDICT_S, ROW, SHARD, STAGE, URI, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.decode import decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.engines.base import Pending
from actors.errors import ImageError
from actors.models.spec import Model
from actors.pixel_arrays import Pixels
from actors.predicting import tiled_pictures
from actors.predicting.block_images import BlockImages
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.reading.encoded_blocks import encoded_block
from actors.row_ranges import Piece
from actors.tasks.base import Task
from actors.tasks.classify import Classify
from actors.tasks.detect import Detect
from actors.tasks.detection.tile import Tile
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from actors.tracking.attempts import Row, Work, WorkerKilledError
from actors.tracking.ledger import Ledger
from jobs.dataflow import predict_actor
from jobs.dataflow.predict_actor import piece_block, piece_of, predict

NUM_ROWS = 8
PREPROCESS = Preprocess(resize=[16, 16], crop=None)


@pytest.mark.parametrize("ranges", [((0, 9),), ((0, 2), (5, 6), (8, 9))])
def test_a_piece_travels_as_one_row(ranges: tuple[tuple[int, int], ...]) -> None:
    block = piece_block(Piece(7, ranges))
    assert len(block) == 1
    assert piece_of(block) == Piece(7, ranges)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picky") / "picky.pt"
    save_picky(path)
    return path


def predictor_of(checkpoint: Path, task: Task | None = None, strike: str = "die") -> Predictor:
    model = Model("dying:Picky", kwargs={"strike": strike}, checkpoint=str(checkpoint), preprocess=PREPROCESS)
    return Predictor(model, task=task or Classify(top_k=2))


def block_with(*deadly: int, unread: int | None = None, shards: int = 1) -> pa.Table:
    """Returns a block like the reader's, with rows of that many shards; the images ``deadly`` are poison."""
    images = [np.asarray(poison() if number in deadly else photo(number, width=40, height=30)) for number in range(8)]
    errors = {unread: ImageError("read", "not_found", "gone")}
    columns = pixel_columns([errors.get(number, image) for number, image in enumerate(images)], Decode(), PREPROCESS)
    shard = [number * shards // NUM_ROWS for number in range(NUM_ROWS)]
    rows = {SHARD: pa.array(shard, pa.int32()), ROW: pa.array(range(10, 10 + NUM_ROWS), pa.int32())}
    return pa.table({**rows, **columns})


def attempts(
    predictor: Predictor, block: pa.Table, ledger: Ledger, pixels_nhwc: Pixels | None = None
) -> tuple[int, pa.Table]:
    """Returns the number of workers needed, and the result of the last one."""
    for number in count(1):
        try:
            return number, predict(predictor, block, ledger, pixels_nhwc)
        except Death:
            assert number < 30
    raise AssertionError


def test_a_sound_block_is_predicted_at_once_and_counted(checkpoint: Path) -> None:
    predictor, ledger, block = predictor_of(checkpoint), Ledger(), block_with(unread=3)
    num_workers, predicted = attempts(predictor, block, ledger)
    assert num_workers == 1
    assert predicted.drop_columns([PREDICT_S]) == predictor.predict_block(block).drop_columns([PREDICT_S])
    assert ledger.snapshot()[:3] == (NUM_ROWS - 1, 1, [])


@pytest.mark.parametrize(
    ("deadly", "num_attempts"), [((0,), 4), ((5,), 4), ((2, 5), 6), ((0, 1), 6), ((4, 5, 6, 7), 10)]
)
@pytest.mark.parametrize("shards", [1, 3])
def test_deadly_images_become_errors_and_all_others_are_predicted(
    deadly: tuple[int, ...], num_attempts: int, shards: int, checkpoint: Path
) -> None:
    predictor, ledger = predictor_of(checkpoint), Ledger()
    num_workers, predicted = attempts(predictor, block_with(*deadly, unread=3, shards=shards), ledger)
    assert num_workers == num_attempts
    is_bad = dict.fromkeys(deadly, ("predict", "killed_worker")) | {3: ("read", "not_found")}
    said = list(zip(predicted[STAGE].to_pylist(), predicted[ERROR].to_pylist(), strict=True))
    assert said == [is_bad.get(number, (None, None)) for number in range(NUM_ROWS)]
    assert ledger.snapshot()[:2] == (NUM_ROWS - len(is_bad), len(is_bad))
    sound = predict(predictor, block_with(unread=3, shards=shards), Ledger())
    assert predicted.schema == sound.schema
    good = [number for number in range(NUM_ROWS) if number not in is_bad]
    given, expected = (table.take(good).drop_columns([PREDICT_S]) for table in (predicted, sound))
    assert given["label_id"] == expected["label_id"]
    np.testing.assert_allclose(given["score"].to_numpy(), expected["score"].to_numpy(), rtol=1e-6)


@pytest.mark.parametrize(("deadly", "num_attempts"), [((), 1), ((5,), 4), ((2, 7), 6)])
def test_a_block_of_several_batches_is_judged_image_by_image_as_well(
    deadly: tuple[int, ...], num_attempts: int, checkpoint: Path
) -> None:
    model = Model("dying:Picky", kwargs={"strike": "die"}, checkpoint=str(checkpoint), preprocess=PREPROCESS)
    predictor, ledger = Predictor(model, task=Raw(), batch_size=3), Ledger()
    sound = predict(predictor, block_with(unread=3), Ledger())
    predictor._batches.engine = Overlapping(predictor.engine, is_late=True)  # as on a GPU
    num_workers, predicted = attempts(predictor, block_with(*deadly, unread=3), ledger)
    assert num_workers == num_attempts
    bad = [*deadly, 3]
    assert [row for row in range(NUM_ROWS) if predicted[STAGE][row].is_valid] == sorted(bad)
    good = [row for row in range(NUM_ROWS) if row not in bad]
    assert predicted["output"].take(good) == sound["output"].take(good)
    assert ledger.snapshot()[:2] == (len(good), len(bad))


@pytest.mark.parametrize("deadly", [(), (5,)])
def test_pixels_that_stay_on_the_device_are_judged_alike(deadly: tuple[int, ...], checkpoint: Path) -> None:
    predictor, block = predictor_of(checkpoint, Raw()), block_with(*deadly, unread=3)
    num_workers, expected = attempts(predictor, block, Ledger())
    pixels_nhwc = torch.tensor(unpack_pixels(block[PIXELS], *PREPROCESS.size))
    given = attempts(predictor, block.drop_columns([PIXELS]), Ledger(), pixels_nhwc)
    assert given[0] == num_workers
    assert given[1].drop_columns([PREDICT_S]) == expected.drop_columns([PREDICT_S])


@pytest.mark.parametrize("task", [Embed(), Raw()])
def test_the_columns_of_every_task_come_together_again(task: Task, checkpoint: Path) -> None:
    predictor = predictor_of(checkpoint, task)
    _, predicted = attempts(predictor, block_with(5), Ledger())
    sound = predict(predictor, block_with(), Ledger())
    assert predicted.schema == sound.schema
    assert predicted[STAGE].null_count == NUM_ROWS - 1


def test_a_quarantined_image_is_left_out_from_the_first_attempt_on(checkpoint: Path) -> None:
    predictor, ledger = predictor_of(checkpoint), Ledger()
    attempts(predictor, block_with(5), ledger)
    rest = block_with(5).slice(4, 3)  # cut differently, as in another pass
    num_workers, predicted = attempts(predictor, rest, ledger)
    assert num_workers == 1
    assert predicted[ERROR].to_pylist() == [None, "killed_worker", None]
    assert PIXELS not in predicted.column_names


def test_a_model_that_kills_at_every_image_ends_the_job(checkpoint: Path) -> None:
    said = "the model killed its worker at 3 images in a row, and no image got through"
    with pytest.raises(WorkerKilledError, match=said):
        attempts(predictor_of(checkpoint), block_with(*range(NUM_ROWS)), Ledger())


class NotingLedger(Ledger):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Row] = []

    def start_image(self, work: Work, row: Row, stage: str) -> None:
        self.notes.append(row)
        super().start_image(work, row, stage)


def test_each_image_is_noted_before_it_is_predicted_but_those_without_pixels(checkpoint: Path) -> None:
    ledger = NotingLedger()
    with pytest.raises(Death):
        predict(predictor_of(checkpoint), block_with(5, unread=3), ledger)
    with pytest.raises(Death):
        predict(predictor_of(checkpoint), block_with(5, unread=3), ledger)
    assert ledger.notes == [(0, 10), (0, 11), (0, 12), (0, 14), (0, 15)]


class TellingLedger(Ledger):
    def report_exit(self, work: Work, kind: str, reason: str) -> None:
        print(work, kind, reason, sep=": ", flush=True)
        super().report_exit(work, kind, reason)


def predict_on_a_device_that_gets_lost(checkpoint: str) -> None:
    predict(predictor_of(Path(checkpoint), strike="lose"), block_with(5), TellingLedger())


@pytest.mark.slow
def test_a_lost_device_ends_the_process_and_the_ledger_is_told(checkpoint: Path) -> None:
    code = f"import test_predict_actor as t; t.predict_on_a_device_that_gets_lost({str(checkpoint)!r})"
    folders = os.pathsep.join(map(str, [Path(__file__).parent, Path(deadly.__file__).parent]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    said = "its device is lost: CUDA error: an illegal memory access was encountered"
    assert done.stdout == f"shard 0, rows 10 to 17: device_lost: {said}\n"
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    path = tmp_path_factory.mktemp("marks") / "marks.pt"
    save_marks(path)
    preprocess = Preprocess(resize=None, crop=64, mean=[0.0] * 3, std=[1.0] * 3)
    model = Model("marks:Marks", checkpoint=str(path), labels=["mark"], preprocess=preprocess)
    return Predictor(model, task=Detect(head="yolov8", tile=Tile(64)), batch_size=4)


def marked_block(*deadly: int) -> tuple[pa.Table, list[bytes | ImageError]]:
    """Returns five pictures; number 3 could not be read, and those in ``deadly`` begin with red pixels."""
    images: list[bytes | ImageError] = []
    for number in range(5):
        picture = marked_picture(90, 100, np.array([[10, 20], [60, 70]]), number)
        picture[:4, :4] = (255, 0, 0) if number in deadly else (0, 0, 0)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        images.append(buffer.getvalue())
    images[3] = ImageError("read", "not_found", "gone")
    rows = {SHARD: pa.array([0] * 5, pa.int32()), ROW: pa.array(range(5), pa.int32()), URI: list("abcde")}
    block = encoded_block(pa.table(rows), images)
    return block.rows, block.images


@pytest.mark.parametrize("stage", ["decode", "predict"])
@pytest.mark.parametrize(("deadly", "num_attempts"), [((), 1), ((2,), 4), ((0, 4), 6)])
def test_pictures_that_kill_while_they_are_decoded_or_cut_become_errors_of_that_stage(
    stage: str, deadly: tuple[int, ...], num_attempts: int, tiled: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die_of_red(pixels_nhwc: np.ndarray) -> None:
        if (pixels_nhwc[:, 0, 0] == (255, 0, 0)).all(axis=1).any():
            raise Death

    if stage == "decode":

        def dying(data: bytes, limits: Decode) -> np.ndarray:
            image_hwc = decode(data, limits)
            die_of_red(image_hwc[None])
            return image_hwc

        monkeypatch.setattr(tiled_pictures, "decode", dying)
    else:
        start = tiled._batches._start

        def start_or_die(images: BlockImages, piece: np.ndarray, size: int) -> Pending:
            die_of_red(np.asarray(images.batch(piece, size)))
            return start(images, piece, size)

        monkeypatch.setattr(tiled._batches, "_start", start_or_die)
    ledger, (rows, images) = Ledger(), marked_block(*deadly)
    for workers in count(1):
        try:
            predicted = predict(tiled, rows, ledger, images)
            break
        except Death:
            assert workers < 30
    assert workers == num_attempts
    is_bad = dict.fromkeys(deadly, (stage, "killed_worker")) | {3: ("read", "not_found")}
    said = list(zip(predicted[STAGE].to_pylist(), predicted[ERROR].to_pylist(), strict=True))
    assert said == [is_bad.get(number, (None, None)) for number in range(5)]
    sizes = [None if found is None else len(found) for found in predicted["detections"].to_pylist()]
    assert sizes == [None if number in is_bad else 2 for number in range(5)]
    assert ledger.snapshot()[:2] == (5 - len(is_bad), len(is_bad))
    assert {DECODE_S, PREDICT_S} <= set(predicted.column_names)


def test_a_picture_that_takes_long_gives_signs_of_life(tiled: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, images = marked_block()
    signs = []
    for every_s in (1000.0, 0.0):
        monkeypatch.setattr(predict_actor, "_TELL_EVERY_S", every_s)
        ledger = Ledger()
        predict(tiled, rows, ledger, images)
        signs.append(ledger.snapshot().num_signs)
    assert signs[1] == signs[0] + 8  # four pictures of four tiles, and a batch of each
