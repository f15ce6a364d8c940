from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from networks import tiny
from photos import jpeg, photo

from actors.columns import PIXELS, STAGE, URI
from actors.errors import ImageError
from actors.models import Model
from actors.pixels import pixel_columns
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.tasks.raw import Raw


class Brittle(torch.nn.Module):
    """Gives not a number for an image that is all black."""

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
