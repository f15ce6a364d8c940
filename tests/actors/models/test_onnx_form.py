"""An .onnx file contains its own network: it excludes keys of a state_dict, and PyTorch does not run it. Files from
converters of other frameworks need only configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from networks import tiny
from onnx_models import save_onnx
from paddle_models import installed_classifier, save_paddle
from PIL import Image, ImageDraw, ImageFont

from actors.engines.configs import Device, OnnxEngineConfig, OpenVinoEngineConfig
from actors.errors import JobError
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from actors.tasks.scores import Activation

if TYPE_CHECKING:
    from pathlib import Path

    from actors.engines.configs import EngineConfig

ENGINES = (OnnxEngineConfig(device=Device.cpu, threads=1), OpenVinoEngineConfig(threads=1))
every_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
HEIGHT, WIDTH = 48, 192
PREPROCESS = Preprocess(resize=[HEIGHT, WIDTH], crop=None, mean=[0.5] * 3, std=[0.5] * 3)


def test_its_files_are_the_graph_and_its_external_data(tmp_path: Path) -> None:
    save_onnx(tiny(), tmp_path / "a.onnx", external=True)
    model = Model(checkpoint=str(tmp_path / "a.onnx"))
    form = form_of(model)
    assert form.files(model) == [str(tmp_path / "a.onnx"), str(tmp_path / "data/weights.bin")]
    before = form.digest(model)
    (tmp_path / "data/weights.bin").write_bytes(b"other weights")
    assert form.digest(model) != before
    opened = form.graph_file(model)
    assert opened is not None
    with opened as file:
        assert (file.path, file.is_exported) == (tmp_path / "a.onnx", False)


def test_it_has_no_network_for_pytorch() -> None:
    model = Model(checkpoint="a.onnx")
    assert form_of(model).network(model) is None
    with pytest.raises(JobError, match=r"a\.onnx: holds no PyTorch network\n.*engine=onnxruntime"):
        build_network(model)


def test_keys_of_a_state_dict_are_refused_together() -> None:
    model = Model("package:Net", checkpoint="a.onnx", prefix="encoder.")
    message = r"yet model\.architecture=package:Net, model\.prefix=encoder\.\n.*architecture=null model\.prefix=null"
    with pytest.raises(JobError, match=message):
        form_of(model).check_keys(model)


def predicted(path: Path, engine: EngineConfig, lines: list[np.ndarray]) -> list[dict[str, object]]:
    model = Model(checkpoint=str(path), labels=["0", "180"], preprocess=PREPROCESS)
    task = Classify(top_k=2, activation=Activation.none)  # the file ends in a softmax
    return Predictor(model, engine=engine, task=task).predict(lines).to_pylist()


@every_engine
def test_a_file_as_paddlepaddle_writes_it(tmp_path: Path, engine: EngineConfig) -> None:
    network = save_paddle(tmp_path / "inference.onnx")
    lines = list(np.random.default_rng(0).integers(0, 256, (5, HEIGHT, WIDTH, 3), np.uint8))
    pixels = torch.from_numpy(np.stack(lines)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        wanted = network(pixels).numpy()
    rows = predicted(tmp_path / "inference.onnx", engine, lines)
    assert [row["label_id"] for row in rows] == wanted.argmax(1).tolist()
    np.testing.assert_allclose([row["score"] for row in rows], wanted.max(1), atol=1e-5)


@every_engine
def test_the_text_direction_classifier_of_paddleocr(engine: EngineConfig) -> None:
    path = installed_classifier()
    if path is None:
        pytest.skip("rapidocr is not installed")  # it requires OpenCV, which nothing else here needs
    upright = [text_line(text) for text in ("Hello world", "Invoice 2026", "Direction")]
    rows = predicted(path, engine, [*upright, *(np.ascontiguousarray(line[::-1, ::-1]) for line in upright)])
    assert [row["label"] for row in rows] == ["0"] * 3 + ["180"] * 3
    assert min(float(str(row["score"])) for row in rows) > 0.99


def text_line(text: str) -> np.ndarray:
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    ImageDraw.Draw(image).text((4, 2), text, fill="black", font=ImageFont.load_default(size=34))
    return np.asarray(image)
