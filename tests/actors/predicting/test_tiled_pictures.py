from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from marks import SIDE, marked_picture, save_marks, scattered
from PIL import Image

from actors.columns import ERROR, MESSAGE, STAGE
from actors.decoding.config import Decode
from actors.errors import ImageError, JobError
from actors.models.spec import Model
from actors.predicting.tiled_pictures import TiledPictures
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.reading.encoded_blocks import encoded_block
from actors.tasks.detect import Detect
from actors.tasks.detection.tile import Tile, TileMerge

INPUT = 128
PREPROCESS = Preprocess(resize=None, crop=INPUT, mean=[0.0] * 3, std=[1.0] * 3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("marks") / "marks.pt"
    save_marks(path)
    return path


def predictor_of(checkpoint: Path, tile: Tile, *, limits: Decode | None = None, batch_size: int = 8) -> Predictor:
    model = Model("marks:Marks", checkpoint=str(checkpoint), labels=["mark"], preprocess=PREPROCESS)
    task = Detect(head="yolov8", score_threshold=0.1, tile=tile)
    return Predictor(model, task=task, limits=limits, batch_size=batch_size)


def png(image_hwc: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_hwc).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def corners_of(detections: list[dict[str, float]]) -> list[tuple[int, int, int, int]]:
    return sorted(tuple(round(one[key]) for key in ("xmin", "ymin", "xmax", "ymax")) for one in detections)


def boxes_at(corners: np.ndarray) -> list[tuple[int, int, int, int]]:
    return sorted((int(x), int(y), int(x) + SIDE, int(y) + SIDE) for x, y in corners)


@pytest.mark.parametrize("merge", list(TileMerge))
def test_each_mark_of_a_large_picture_is_found_once_where_it_is(merge: TileMerge, checkpoint: Path) -> None:
    corners = scattered(900, 1100, 120)
    predictor = predictor_of(checkpoint, Tile(INPUT, 0.25, merge))
    table = predictor.predict([marked_picture(900, 1100, corners)])
    [found] = table["detections"].to_pylist()
    expected = boxes_at(corners)
    if merge is TileMerge.ios:
        assert corners_of(found) == expected
    else:  # nms keeps parts at borders
        assert set(expected) <= set(corners_of(found))
    assert (table["height"][0].as_py(), table["width"][0].as_py()) == (900, 1100)
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)


def test_marks_on_the_borders_of_tiles_are_found_once_and_neighbours_are_kept(checkpoint: Path) -> None:
    tile = Tile(INPUT, 32)
    places = tile.places(320, 320)
    borders = np.unique(places)[1:-1]  # inner starts and stops
    corners = np.array([(x - 4, y - 4) for x in borders for y in borders])
    table = predictor_of(checkpoint, tile).predict([marked_picture(320, 320, corners)])
    assert corners_of(table["detections"][0].as_py()) == boxes_at(corners)


def test_batches_are_filled_across_pictures_and_answers_do_not_depend_on_it(checkpoint: Path) -> None:
    sizes = [(300, 200), (64, 64), (128, 128), (500, 130), (20, 300)]
    pictures = [marked_picture(*size, scattered(*size, 6, seed), seed) for seed, size in enumerate(sizes)]
    alone = [predictor_of(checkpoint, Tile(INPUT)).predict([one])["detections"].to_pylist()[0] for one in pictures]
    for batch_size in (1, 3, 64):
        predictor = predictor_of(checkpoint, Tile(INPUT), batch_size=batch_size)
        together = predictor.predict(list(map(png, pictures)))
        assert together["detections"].to_pylist() == alone
        num_tiles: list[int] = []
        assert predictor._tiled is not None
        predictor._tiled(pictures, batch_size=batch_size, inspect=lambda tiles, seen=num_tiles: seen.append(len(tiles)))
        assert set(num_tiles[:-1]) <= {batch_size}
        assert sum(num_tiles) == sum(len(Tile(INPUT).places(*size)) for size in sizes)


def test_a_picture_of_one_tile_gives_what_it_gives_without_tiles(checkpoint: Path) -> None:
    picture = png(marked_picture(100, 120, scattered(100, 120, 4)))
    tiled, whole = (predictor_of(checkpoint, tile).predict([picture]) for tile in (Tile(INPUT), Tile()))
    assert tiled == whole
    assert len(tiled["detections"][0]) == 4


def test_tiles_are_resized_to_the_model_and_their_boxes_back(checkpoint: Path) -> None:
    """Tiles of 64 pixels are enlarged to 128, so that marks of half the size are found."""
    corners = scattered(300, 400, 20)
    small = marked_picture(600, 800, corners * 2)[::2, ::2]
    model_preprocess = Preprocess(
        resize=[INPUT, INPUT], crop=None, mean=[0.0] * 3, std=[1.0] * 3, interpolation="nearest"
    )
    model = Model("marks:Marks", checkpoint=str(checkpoint), labels=["mark"], preprocess=model_preprocess)
    task = Detect(head="yolov8", score_threshold=0.3, tile=Tile(64, 0.3))
    [found] = Predictor(model, task=task, batch_size=8).predict([small])["detections"].to_pylist()
    assert len(found) == 20
    left = sorted(one["xmin"] for one in found)
    assert np.abs(np.array(left) - np.sort(corners[:, 0])).max() <= 1


def test_pictures_with_errors_keep_their_stage_and_the_others_their_boxes(checkpoint: Path, tmp_path: Path) -> None:
    corners = scattered(200, 200, 5)
    good = png(marked_picture(200, 200, corners))
    predictor = predictor_of(checkpoint, Tile(INPUT), limits=Decode(max_pixels=50_000))
    large = png(marked_picture(300, 200, corners))
    table = predictor.predict([good, good[:200], large, tmp_path / "none.png", good])
    assert table["stage"].to_pylist() == [None, "decode", "decode", "read", None]
    assert table["error"].to_pylist() == [None, "truncated", "too_large", "not_found", None]
    assert [found is None for found in table["detections"].to_pylist()] == [False, True, True, True, False]
    assert table["width"].to_pylist() == [200, None, None, None, 200]
    assert corners_of(table["detections"][4].as_py()) == boxes_at(corners)


def test_a_tile_that_the_engine_fails_on_is_named_in_the_error_of_its_picture(checkpoint: Path) -> None:
    predictor = predictor_of(checkpoint, Tile(INPUT), batch_size=4)
    engine = predictor._batches.engine

    class Picky:
        """Fails on a batch with a red pixel in the corner of an image, and returns NaN for a green one."""

        overlaps, device = False, engine.device

        def start(self, pixels_nhwc: np.ndarray) -> object:
            corner = pixels_nhwc[:, 0, 0]
            if (corner == (255, 0, 0)).all(axis=1).any():
                raise RuntimeError("red")
            outputs = engine(pixels_nhwc)
            [name] = outputs
            outputs[name] = np.where((corner == (0, 255, 0)).all(axis=1)[:, None, None], np.nan, outputs[name])
            return type("Done", (), {"result": lambda _: outputs})()

    predictor._batches.engine = Picky()  # type: ignore[assignment]
    corners = scattered(300, 300, 8)
    pictures = [marked_picture(300, 300, corners) for _ in range(3)]
    places = Tile(INPUT).places(300, 300)
    for picture, colour in ((0, (255, 0, 0)), (1, (0, 255, 0))):
        left, top = places[5, :2]
        pictures[picture][top, left] = colour
    table = predictor.predict(pictures)
    assert table["error"].to_pylist() == ["failed", "not_finite", None]
    left, top, right, bottom = places[5]
    said = f"tile 5, pixels {left} to {right} by {top} to {bottom}: "
    assert table["message"].to_pylist()[0] == f"{said}RuntimeError: red"
    assert str(table["message"].to_pylist()[1]).startswith(said)
    assert corners_of(table["detections"][2].as_py()) == boxes_at(corners)


def test_each_decoding_and_each_call_of_the_engine_is_watched(checkpoint: Path) -> None:
    predictor = predictor_of(checkpoint, Tile(INPUT), batch_size=4)
    steps: list[str] = []

    @contextmanager
    def watch(stage: str) -> Iterator[None]:
        steps.append(stage)
        yield

    tiled = predictor._tiled
    assert isinstance(tiled, TiledPictures)
    picture = marked_picture(200, 300, scattered(200, 300, 4))
    result = tiled([picture, png(picture)[:100], picture], batch_size=4, watch=watch)
    # 6 tiles each: one batch within the first picture, the second fails, and two more batches.
    assert steps == ["decode", "predict", "decode", "decode", "predict", "predict"]
    assert list(result.errors) == [1]
    assert result.sizes_hw.tolist() == [[200, 300], [0, 0], [200, 300]]
    assert (result.predict_s > 0).tolist() == [True, False, True]


def test_rows_that_arrive_with_an_error_are_not_touched(checkpoint: Path) -> None:
    good = png(marked_picture(100, 100, scattered(100, 100, 2)))
    rows, images = encoded_block(pa.table({"uri": ["a", "b"]}), [ImageError("read", "not_found", "gone"), good])
    predicted = predictor_of(checkpoint, Tile(INPUT)).predict_pictures(rows, images)
    assert predicted[STAGE].to_pylist() == ["read", None]
    assert predicted[ERROR].to_pylist() == ["not_found", None]
    assert predicted[MESSAGE].to_pylist() == ["gone", None]
    assert len(predicted["detections"][1]) == 2


def test_a_picture_without_objects_has_an_empty_list(checkpoint: Path) -> None:
    table = predictor_of(checkpoint, Tile(INPUT)).predict([np.zeros((200, 200, 3), np.uint8)])
    assert table["detections"].to_pylist() == [[]]
    assert table["stage"].to_pylist() == [None]


def test_the_whole_picture_adds_nothing_to_what_tiles_show_although_the_crop_cuts_it(checkpoint: Path) -> None:
    """The model sees the centre of the whole picture, with parts of marks at its borders."""
    tile = Tile(INPUT, 0.2, whole=True)
    corners = np.array([(x, y) for x in range(10, 480, 34) for y in range(10, 480, 34)])
    table = predictor_of(checkpoint, tile).predict([marked_picture(500, 500, corners)])
    assert corners_of(table["detections"][0].as_py()) == boxes_at(corners)


def test_tiles_of_which_the_model_would_see_a_part_are_refused(checkpoint: Path) -> None:
    with pytest.raises(JobError, match=r"task\.tile\.size=200: .* only 128 by 128 of 200 by 200 pixels"):
        predictor_of(checkpoint, Tile(200))


def test_blocks_of_pixels_and_of_pictures_are_not_mixed_up(checkpoint: Path) -> None:
    block = pa.table({STAGE: pa.nulls(0, pa.string())})
    with pytest.raises(ValueError, match="call predict_pictures"):
        predictor_of(checkpoint, Tile(INPUT)).predict_block(block)
    with pytest.raises(ValueError, match="cuts no tiles"):
        predictor_of(checkpoint, Tile()).predict_pictures(block, [])
