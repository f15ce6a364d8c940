from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from digit_images import DIGITS, digit_pixels
from networks import tiny
from onnx_models import SIDE, save_onnx
from programs import PREPROCESS, save_ir, save_pt2, save_script
from torch import nn

from actors.engines.base import load_engine
from actors.engines.configs import ENGINE_CONFIGS, TorchEngineConfig
from actors.errors import JobError
from actors.exporting.postprocess import SCORES, Postprocess
from actors.models.bundle_files import ENGINES, MAIN_FILES
from actors.models.forms import form_of
from actors.models.spec import Model
from jobs.bundling.forms import FormPlan, WrittenForm, check_form, write_form

PIXELS = digit_pixels(16)


def written(name: str, folder: Path, plan: FormPlan, model: Model = DIGITS) -> WrittenForm:
    return write_form(name, model, folder, plan, {"task": "{}"})


def outputs_of(form: WrittenForm, folder: Path) -> dict[str, np.ndarray]:
    return load_engine(ENGINE_CONFIGS[ENGINES[form.name][0]](threads=1), form.model(DIGITS, folder))(PIXELS)


@pytest.fixture(scope="module")
def right() -> dict[str, np.ndarray]:
    return load_engine(TorchEngineConfig(threads=1), DIGITS)(PIXELS)


@pytest.mark.parametrize(
    ("name", "precision", "stored", "allowed"),
    [
        ("onnx", "fp32", "fp32", 1e-4),
        ("onnx", "fp16", "fp16", 0.2),
        ("onnx", "int8", "int8", 3.0),
        ("openvino", "fp32", "fp32", 1e-4),
        ("openvino", "fp16", "fp16", 0.05),
        ("openvino", "bf16", "bf16", 0.5),
        ("openvino", "int8", "int8", 3.0),
        ("pt2", "fp32", "fp32", 1e-4),
        ("pt2", "fp16", "fp16", 0.05),
        ("pt2", "bf16", "bf16", 0.5),
        ("safetensors", "fp32", "fp32", 1e-6),
        ("safetensors", "fp16", "fp16", 0.1),
        ("safetensors", "bf16", "bf16", 0.5),
        ("safetensors", "int8", "fp32", 1e-6),
    ],
)
def test_a_form_runs_from_its_files_alone(
    name: str, precision: str, stored: str, allowed: float, right: dict[str, np.ndarray], tmp_path: Path
) -> None:
    form = written(name, tmp_path, FormPlan(precision, calibration=digit_pixels(64)))
    assert (form.precision, form.normalises) == (stored, name in ("onnx", "openvino"))
    assert MAIN_FILES[name] in form.files
    given = outputs_of(form, tmp_path)
    assert np.abs(given["output"] - right["output"]).max() < allowed
    assert (given["output"].argmax(axis=1) == right["output"].argmax(axis=1)).all()


def test_weights_apart_from_the_graph(right: dict[str, np.ndarray], tmp_path: Path) -> None:
    form = written("onnx", tmp_path, FormPlan(separate_weights=True))
    assert form.files == ("model.onnx", "model.onnx.data")
    np.testing.assert_allclose(outputs_of(form, tmp_path)["output"], right["output"], atol=1e-4)


def test_scores_inside(right: dict[str, np.ndarray], tmp_path: Path) -> None:
    steps = Postprocess("softmax", "output")
    form = written("onnx", tmp_path, FormPlan(postprocess=steps))
    np.testing.assert_allclose(outputs_of(form, tmp_path)[SCORES], steps.of(right)[SCORES], atol=1e-5)
    assert (form.postprocess, written("safetensors", tmp_path, FormPlan(postprocess=steps)).postprocess) == (
        "softmax",
        "none",
    )


def test_a_graph_gives_graphs(tmp_path: Path) -> None:
    written("onnx", tmp_path, FormPlan())
    model = Model(checkpoint=str(tmp_path / "model.onnx"), preprocess=DIGITS.preprocess)
    (tmp_path / "again").mkdir()
    form = written("onnx", tmp_path / "again", FormPlan(), model)
    assert onnx.load(tmp_path / "again" / "model.onnx").graph == onnx.load(tmp_path / "model.onnx").graph
    assert not form.normalises  # as far as known
    ir = written("openvino", tmp_path / "again", FormPlan("fp16"), model)
    assert ir.files == ("openvino/model.bin", "openvino/model.xml")
    (tmp_path / "third").mkdir()
    copy = written("openvino", tmp_path / "third", FormPlan(), ir.model(model, tmp_path / "again"))
    for name in copy.files:
        assert (tmp_path / "third" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


GRAPH = Model(checkpoint="x.onnx")
SCRIPT = Model(checkpoint="x.ts", sha256="0" * 64)
TO_GRAPHS, TO_ALL = {"onnx", "openvino"}, {"onnx", "openvino", "pt2"}


def _state_dict(network: nn.Module, folder: Path) -> Model:
    torch.save(network.state_dict(), folder / "x.pt")
    return Model("networks:tiny", {"num_classes": 5}, str(folder / "x.pt"), preprocess=PREPROCESS)


def _graph(network: nn.Module, folder: Path) -> Model:
    save_onnx(network, folder / "x.onnx")
    return Model(checkpoint=str(folder / "x.onnx"), preprocess=PREPROCESS)


@pytest.mark.parametrize(
    ("save", "possible"),
    [
        (_state_dict, {*TO_ALL, "safetensors"}),
        (lambda network, folder: save_script(network, folder / "x.ts"), set()),
        (lambda network, folder: save_pt2(network, folder / "x.pt2"), TO_ALL),
        (_graph, TO_GRAPHS),
        (lambda network, folder: save_ir(network, folder / "x.xml"), {"openvino"}),
    ],
    ids=["state_dict", "torchscript", "pt2", "onnx", "openvino"],
)
def test_each_form_gives_a_form_with_its_answers_or_is_refused_at_once(
    save: Callable[[nn.Module, Path], Model], possible: set[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = save(tiny(5).eval(), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    config = ENGINE_CONFIGS[form_of(model).engines[0]](threads=1)
    (right,) = load_engine(config, model)(pixels).values()
    for name in ENGINES:
        if name not in possible:
            with pytest.raises(JobError, match=rf"export\.formats={name}: model\.checkpoint="):
                check_form(name, model, "fp32")
            continue
        folder = tmp_path / name
        folder.mkdir()
        form = written(name, folder, FormPlan(), model)
        engine = ENGINE_CONFIGS[ENGINES[name][0]](threads=1)
        (given,) = load_engine(engine, form.model(model, folder))(pixels).values()
        np.testing.assert_allclose(given, right, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "model", "precision", "said"),
    [
        ("safetensors", GRAPH, "fp32", r"export\.formats=safetensors: .* holds a whole graph"),
        ("pt2", GRAPH, "fp32", r"export\.formats=pt2: .* holds a whole graph"),
        ("onnx", GRAPH, "fp16", r"export\.precision=fp16: .* is a graph"),
        ("onnx", DIGITS, "bf16", r"export\.precision=bf16: onnxruntime"),
        ("pt2", DIGITS, "int8", r"export\.precision=int8: torch"),
        *(
            (name, SCRIPT, "fp32", rf"export\.formats={name}: model\.checkpoint=x\.ts is a TorchScript archive")
            for name in ENGINES
        ),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_done(name: str, model: Model, precision: str, said: str) -> None:
    with pytest.raises(JobError, match=said):
        check_form(name, model, precision)


def test_int8_needs_images(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no images to quantise on"):
        written("onnx", tmp_path, FormPlan("int8"))


def test_what_the_checkpoint_needed_does_not_apply_to_the_form(tmp_path: Path) -> None:
    model = replace(DIGITS, ema=True, prefix="x", ignore=["y"])
    form = WrittenForm("safetensors", (), "fp32", "none", normalises=False)
    found = form.model(model, tmp_path)
    assert (found.ema, found.prefix, found.ignore, found.architecture) == (False, None, [], DIGITS.architecture)
    assert replace(form, name="onnx").model(model, tmp_path).architecture is None
