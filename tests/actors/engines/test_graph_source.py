"""Files of an ONNX model as opened by an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from networks import tiny
from onnx_models import save_onnx, save_with_constant

from actors.engines.graph_source import local_file, outside
from actors.errors import JobError
from actors.models.graph_file import GraphFile
from actors.models.onnx_files import digest
from actors.models.spec import Model
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from places import Place


def test_a_local_model_stays_where_it_is(tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx")
    with local_file(Model(checkpoint=str(tmp_path / "a.onnx"))) as file:
        assert file.path == tmp_path / "a.onnx"


def test_a_file_that_takes_pixels_leaves_the_geometry_alone_to_the_engine() -> None:
    model = Model(checkpoint="a.onnx", preprocess=Preprocess(resize=99, crop=80, channel_order="bgr"))
    file = GraphFile(Path("a.onnx"), "fp32")
    assert outside(model, file) is model
    left = outside(model, replace(file, takes_pixels=True))
    assert left.preprocess == Preprocess(resize=99, crop=80)


def test_a_remote_model_is_fetched_with_its_data_and_kept(place: Place, tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx", external=True)
    uri = place.put("deep/er/a.onnx", (tmp_path / "a.onnx").read_bytes())
    place.put("deep/er/data/weights.bin", (tmp_path / "data" / "weights.bin").read_bytes())
    with local_file(Model(checkpoint=uri, storage_options=place.options)) as file:
        assert file.path.read_bytes() == (tmp_path / "a.onnx").read_bytes()
        beside = file.path.parent / "data" / "weights.bin"
        assert beside.read_bytes() == (tmp_path / "data" / "weights.bin").read_bytes()
    assert file.path.exists()


def test_external_data_that_is_missing_is_reported(place: Place, tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx", external=True)
    uri = place.put("a.onnx", (tmp_path / "a.onnx").read_bytes())
    model = Model(checkpoint=uri, storage_options=place.options)
    message = rf"model\.checkpoint={uri}: its external data data/weights\.bin is missing"
    with pytest.raises(JobError, match=message), local_file(model):
        pass
    with pytest.raises(JobError, match=message):
        digest(model)


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(np.float32, "fp32"), (np.float16, "fp16"), (np.int8, "int8"), (np.uint8, "int8"), (np.int64, "fp32")],
)
def test_the_precision_is_that_of_most_weights(tmp_path: Path, dtype: type, precision: str) -> None:
    save_with_constant(tmp_path / "a.onnx", np.ones((3, 4), dtype))
    with local_file(Model(checkpoint=str(tmp_path / "a.onnx"))) as file:
        assert file.precision == precision
