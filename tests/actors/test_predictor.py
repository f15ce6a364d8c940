from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from networks import tiny
from overlapping import Overlapping
from photos import jpeg, photo
from pressed import LOST, images, pressed, save_pressed

from actors.columns import ERROR, MESSAGE, PIXELS, PREDICT_S, STAGE, URI, unpack_pixels
from actors.decoding.config import Decode
from actors.decoding.pixel_blocks import pixel_columns
from actors.device_errors import DeviceLostError
from actors.engines.configs import TorchEngineConfig
from actors.errors import ImageError, JobError
from actors.geometry import Geometry
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.recipe import Recipe
from actors.tasks.base import Outputs, Task
from actors.tasks.classify import Classify
from actors.tasks.context import BatchContext
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw


class Brittle(torch.nn.Module):
    """Returns NaN for an all-black image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        level = pixels.mean(dim=(1, 2, 3), keepdim=False)[:, None]
        return self.weight * torch.log(level)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny(10).state_dict(), tmp_path / "tiny.pt")
    return Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=40, crop=32))


def test_paths_bytes_and_arrays_give_the_same(model: Model, tmp_path: Path) -> None:
    data = jpeg(3)
    (tmp_path / "a b#.jpg").write_bytes(data)
    path = tmp_path / "a b#.jpg"
    predictor = Predictor(model)
    table = predictor.predict([path, str(path), data])
    assert table["uri"].to_pylist() == [str(path), str(path), None]
    assert len(set(table["label"].to_pylist())) == 1
    assert table["error"].null_count == 3
    array = np.asarray(photo(3))
    assert predictor.predict([array])["score"][0].as_py() == pytest.approx(table["score"][0].as_py(), abs=0.02)


def test_bad_images_say_why_and_shift_nobody(model: Model) -> None:
    good = [jpeg(number) for number in range(3)]
    predictor = Predictor(model)
    table = predictor.predict([good[0], b"junk", "/nowhere.jpg", good[1], good[2]], batch_size=2)
    alone = predictor.predict(good)
    assert table["error"].to_pylist() == [None, "unidentified", "not_found", None, None]
    assert table["stage"].to_pylist() == [None, "decode", "read", None, None]
    assert table["label_id"].null_count == 2
    np.testing.assert_allclose(
        [score for score in table["score"].to_pylist() if score is not None], alone["score"].to_numpy(), atol=1e-6
    )
    assert table["top_label_ids"].to_pylist()[3:] == alone["top_label_ids"].to_pylist()[1:]


def test_only_bad_images_and_none_at_all(model: Model) -> None:
    predictor = Predictor(model)
    table = predictor.predict([b"junk"])
    assert table["label"].to_pylist() == [None]
    assert predictor.predict([]).schema == table.schema
    assert len(predictor.predict([])) == 0


def test_a_result_that_is_not_finite_is_an_error_row(tmp_path: Path) -> None:
    torch.save(Brittle().state_dict(), tmp_path / "brittle.pt")
    preprocess = Preprocess(resize=[8, 8], crop=None, mean=[0.0] * 3, std=[1.0] * 3)
    model = Model(f"{__name__}:Brittle", checkpoint=str(tmp_path / "brittle.pt"), preprocess=preprocess)
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    table = Predictor(model).predict([white, black, white])
    assert table["error"].to_pylist() == [None, "not_finite", None]
    assert table["label"].to_pylist() == ["0", None, "0"]
    raw = Predictor(model, task=Raw()).predict([white, black])
    assert raw["error"].null_count == 2
    assert raw["output"].to_pylist()[1] == [-np.inf, -np.inf]


def test_a_block_loses_its_pixels_and_gains_the_columns(model: Model) -> None:
    predictor = Predictor(model)
    images = [jpeg(0), ImageError("read", "not_found", "gone")]
    block = pa.table({URI: ["a", "b"], **pixel_columns(images, predictor.limits, model.preprocess)})
    predicted = predictor.predict_block(block)
    assert PIXELS not in predicted.column_names
    assert predicted[STAGE].to_pylist() == [None, "read"]
    assert [field.name for field in predictor.fields if field.name not in predicted.column_names] == []


def block_of(predictor: Predictor, pixels: np.ndarray, *unread: int) -> pa.Table:
    """Returns the block of an array of images; images with numbers in ``unread`` have an error."""
    lost = dict.fromkeys(unread, ImageError("read", "not_found", "gone"))
    columns = [lost.get(number, image) for number, image in enumerate(pixels)]
    names = {URI: list(map(str, range(len(pixels))))}
    return pa.table({**names, **pixel_columns(columns, predictor.limits, predictor.model.preprocess)})


@pytest.mark.parametrize("task", [Classify(), Embed(), Raw()])
def test_any_slice_of_a_block_gives_the_same_bits(tmp_path: Path, task: Task) -> None:
    predictor = Predictor(save_pressed(tmp_path), task=task, batch_size=8)
    pressed(predictor.engine).batches.clear()
    block = block_of(predictor, images(20), 3, 9)
    whole = predictor.predict_block(block).drop_columns([PREDICT_S])
    for start in range(0, 20, 3):
        for stop in range(start + 1, 21, 3):
            part = predictor.predict_block(block.slice(start, stop - start)).drop_columns([PREDICT_S])
            assert part.combine_chunks() == whole.slice(start, stop - start).combine_chunks()
    assert set(pressed(predictor.engine).batches) == {8}


@pytest.mark.parametrize("borders", [(8,), (8, 16), (3, 3, 17)])
def test_a_block_of_several_chunks_gives_the_same_bits(tmp_path: Path, borders: tuple[int, ...]) -> None:
    predictor = Predictor(save_pressed(tmp_path), task=Raw(), batch_size=8)
    block = block_of(predictor, images(20), 3, 9)
    whole = predictor.predict_block(block).drop_columns([PREDICT_S])
    chunks = pa.concat_tables([block.slice(start, stop - start) for start, stop in pairwise((0, *borders, 20))])
    assert chunks[PIXELS].num_chunks > 1
    for engine in (predictor.engine, Overlapping(predictor.engine, is_late=True)):
        predictor._batches.engine = engine
        predicted = predictor.predict_block(chunks).drop_columns([PREDICT_S])
        assert predicted.combine_chunks() == whole.combine_chunks()


def test_pixels_beside_the_block_give_the_same_bits(tmp_path: Path) -> None:
    predictor = Predictor(save_pressed(tmp_path), task=Raw(), batch_size=8)
    block = block_of(predictor, images(20), 3, 9)
    pixels = unpack_pixels(block[PIXELS], *predictor.model.preprocess.size)
    whole = predictor.predict_block(block).drop_columns([PREDICT_S])
    rows = block.drop_columns([PIXELS])
    for engine in (predictor.engine, Overlapping(predictor.engine, is_late=False)):
        predictor._batches.engine = engine
        for given in (pixels, torch.tensor(pixels)):
            assert predictor.predict_block(rows, given).drop_columns([PREDICT_S]) == whole


def test_a_block_of_errors_alone_does_not_reach_the_engine(tmp_path: Path) -> None:
    predictor = Predictor(save_pressed(tmp_path), batch_size=8)
    pressed(predictor.engine).batches.clear()
    predicted = predictor.predict_block(block_of(predictor, images(3), 0, 1, 2))
    assert predicted[STAGE].to_pylist() == ["read"] * 3
    assert predicted["label"].to_pylist() == [None] * 3
    assert pressed(predictor.engine).batches == []
    assert predicted.schema == predictor.predict_block(block_of(predictor, images(3))).schema
    assert pressed(predictor.engine).batches == [8]


@pytest.mark.parametrize("task", [Classify(), Raw()])
def test_images_that_the_engine_fails_on_are_error_rows_and_shift_nobody(tmp_path: Path, task: Task) -> None:
    predictor = Predictor(save_pressed(tmp_path), task=task, batch_size=4)
    sound = predictor.predict_block(block_of(predictor, images(12)))
    predicted = predictor.predict_block(block_of(predictor, images(12, greedy=(2,), wrong=(5, 11)), 0))
    failed, greedy = ("predict", "failed"), ("predict", "out_of_memory")
    bad = {0: ("read", "not_found"), 2: greedy, 5: failed, 11: failed}
    assert list(zip(predicted[STAGE].to_pylist(), predicted[ERROR].to_pylist(), strict=True)) == [
        bad.get(row, (None, None)) for row in range(12)
    ]
    assert predicted[MESSAGE][11].as_py() == "ValueError: found no box"
    for field in predictor.fields:
        column, wanted = predicted[field.name].to_pylist(), sound[field.name].to_pylist()
        assert [row for row, value in enumerate(column) if value is None] == list(bad)
        if field.name in {"score", "output"}:
            good = [row for row in range(12) if row not in bad]
            np.testing.assert_allclose([column[row] for row in good], [wanted[row] for row in good], atol=1e-6)
    assert predicted[URI].to_pylist() == list(map(str, range(12)))
    assert (predicted[PREDICT_S].to_numpy() > 0).tolist() == [row != 0 for row in range(12)]


def test_a_block_that_fails_as_a_whole_has_columns_still(tmp_path: Path) -> None:
    predictor = Predictor(save_pressed(tmp_path), batch_size=4)
    sound = predictor.predict_block(block_of(predictor, images(2)))
    predicted = predictor.predict_block(block_of(predictor, images(2, wrong=(0, 1))))
    assert predicted.schema == sound.schema
    assert predicted["label"].null_count == 2


def test_errors_of_the_engine_and_of_its_results_stand_side_by_side(tmp_path: Path) -> None:
    torch.save(Brittle().state_dict(), tmp_path / "brittle.pt")
    preprocess = Preprocess(resize=[8, 8], crop=None, mean=[0.0] * 3, std=[1.0] * 3)
    model = Model(f"{__name__}:Brittle", checkpoint=str(tmp_path / "brittle.pt"), preprocess=preprocess)
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    predictor = Predictor(model, batch_size=2)
    table = predictor.predict([white, b"junk", black, white, black])
    assert table["error"].to_pylist() == [None, "unidentified", "not_finite", None, "not_finite"]
    assert table["label"].to_pylist() == ["0", None, None, "0", None]


@dataclass
class WholeInput(Classify):
    """Writes the size of the source image, and its box covered by the model input."""

    def fields(self, outputs: Outputs, labels: Sequence[str] | None) -> list[pa.Field]:
        super().fields(outputs, labels)
        return [pa.field("size", pa.list_(pa.int64())), pa.field("box", pa.list_(pa.float64()))]

    def columns(self, tensors: Mapping[str, np.ndarray], context: BatchContext) -> tuple[list[pa.Array], np.ndarray]:
        geometry = context.geometry
        boxes = geometry.to_source(geometry.visible_xyxy)
        return [pa.array(geometry.sizes_wh.tolist()), pa.array(boxes.tolist())], super().columns(tensors, context)[1]


def test_a_task_gets_the_sizes_and_the_geometry_of_its_own_images_past_bad_ones(tmp_path: Path) -> None:
    predictor = Predictor(save_pressed(tmp_path), task=WholeInput(), batch_size=4)
    sizes = [(100, 50), (50, 100), (8, 8), (30, 20), (16, 16), (333, 200)]
    given = [np.full((height, width, 3), number, np.uint8) for number, (height, width) in enumerate(sizes)]
    given[2] = b"junk"
    given[4] = np.full((16, 16, 3), (255, 0, 0), np.uint8)  # the network rejects it
    table = predictor.predict(given)
    assert table["error"].to_pylist() == [None, None, "unidentified", None, "failed", None]
    good = [0, 1, 3, 5]
    expected = Geometry.of(predictor.model.preprocess, [sizes[row] for row in good])
    assert [table["size"].to_pylist()[row] for row in good] == expected.sizes_wh.tolist()
    boxes = expected.to_source(expected.visible_xyxy).tolist()
    assert [table["box"].to_pylist()[row] for row in good] == boxes
    assert table["box"].null_count == 2


def test_a_lost_device_is_for_the_caller(tmp_path: Path) -> None:
    predictor = Predictor(save_pressed(tmp_path))
    pressed(predictor.engine).says = LOST
    with pytest.raises(DeviceLostError):
        predictor.predict_block(block_of(predictor, images(2)))


def test_a_recipe_and_keywords_build_the_same(model: Model) -> None:
    limits = Decode(max_pixels=10_000)
    recipe = Recipe(model, TorchEngineConfig(threads=1), Raw(), limits)
    predictor = Predictor(model, engine=recipe.engine, task=recipe.task, limits=limits)
    assert Predictor(recipe).recipe == predictor.recipe == recipe
    with pytest.raises(TypeError, match="a Recipe has its own engine, task and limits"):
        Predictor(recipe, task=Raw())


def test_any_iterable_gives_the_rows_of_a_list_a_batch_at_a_time(
    model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor, images = Predictor(model), [jpeg(number) for number in range(5)]
    whole = predictor.predict(images, batch_size=2)
    assert predictor.predict(iter(images), batch_size=2) == whole
    assert capsys.readouterr().err == ""
    assert predictor.predict(zip(images, "abcde", strict=True), batch_size=2, progress=True) == whole
    assert capsys.readouterr().err.startswith("5 images, 0 errors")
    given = iter(images)
    batches = predictor.predict_batches(given, batch_size=2)
    assert next(batches) == whole.slice(0, 2)
    assert len(list(given)) == 3, "only the images of one batch are drawn"
    with pytest.raises(JobError, match="batch_size=0"):
        predictor.predict_batches(images, batch_size=0)
