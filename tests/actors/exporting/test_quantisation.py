"""Real quantisation of the trained sample network on digits that it knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from digit_images import DIGITS, digit_pixels
from onnx import TensorProto, helper

from actors.engines.base import load_engine
from actors.engines.configs import (
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    Provider,
    TorchEngineConfig,
)
from actors.engines.tolerance import Tolerance
from actors.errors import JobError
from actors.exporting.quantisation import NUM_CALIBRATED, last_layers, quantised
from actors.predictor import Predictor
from actors.recipe import Recipe
from actors.tasks.classify import Classify

ENGINES = [
    OpenVinoEngineConfig(precision=Precision.int8, threads=1),
    OnnxEngineConfig(precision=Precision.int8, threads=1),
]


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARDLENS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def graph(cache: Path) -> bytes:  # noqa: ARG001  not the user's
    return quantised(DIGITS, digit_pixels(NUM_CALIBRATED))


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
@pytest.mark.parametrize("is_narrow", [False, True])
def test_answers_stay_within_the_default_tolerance(config: EngineConfig, *, is_narrow: bool) -> None:
    unseen = digit_pixels(600)[NUM_CALIBRATED:]
    engine = load_engine(config, DIGITS, int8_graph=quantised(DIGITS, digit_pixels(128), is_narrow=is_narrow))
    wanted, given = load_engine(TorchEngineConfig(threads=1), DIGITS)(unseen), engine(unseen)
    agreement = Classify().agreement(wanted, given, Tolerance())
    assert agreement.breaches == []
    assert agreement.figures["score_difference"] > 1e-5  # it really is int8
    assert (engine.precision, engine.device) == ("int8", "cpu")


def test_all_layers_but_the_last_hold_int8(graph: bytes) -> None:
    found = onnx.load_model_from_string(graph).graph
    types = Counter(tensor.data_type for tensor in found.initializer if len(tensor.dims) > 1)
    assert types == {TensorProto.INT8: 4, TensorProto.FLOAT: 1}
    [name] = last_layers(found)
    [last] = [node for node in found.node if node.name == name]
    assert last.output[0] == found.output[0].name


def test_the_last_layers_are_found_behind_other_nodes() -> None:
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "w"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["c"], name="activation"),
        helper.make_node("Add", ["c", "image"], ["features"], name="sum"),
        helper.make_node("MatMul", ["features", "v"], ["logits"], name="head"),
    ]
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("features", "logits")}
    assert last_layers(helper.make_graph(nodes, "g", [], [values["logits"]])) == ["head"]
    assert set(last_layers(helper.make_graph(nodes, "g", [], [*values.values()]))) == {"head", "second"}


def test_it_is_kept_for_the_same_images(graph: bytes, cache: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("model.onnx")}
    assert quantised(DIGITS, digit_pixels(NUM_CALIBRATED)) == graph
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("model.onnx")} == kept
    assert quantised(DIGITS, digit_pixels(3)) != graph
    assert len(list(cache.rglob("model.onnx"))) == len(kept) + 1


def test_only_the_last_images_count(graph: bytes) -> None:
    pixels_nhwc = digit_pixels(NUM_CALIBRATED)
    assert quantised(DIGITS, np.concatenate([255 - pixels_nhwc[:5], pixels_nhwc])) == graph


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_python_callers_give_the_graph(config: EngineConfig, graph: bytes) -> None:
    with pytest.raises(JobError, match=r"engine\.precision=int8: .* quantised on images first\n.*int8_graph"):
        Predictor(DIGITS, engine=config)
    rows = Predictor(Recipe(DIGITS, config, int8_graph=graph)).predict(list(digit_pixels(8)))
    assert rows["error"].null_count == len(rows)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (TorchEngineConfig(precision=Precision.int8), r"engine=torch does not .*\n.*engine=openvino, onnxruntime"),
        (OnnxEngineConfig(precision=Precision.int8, provider=Provider.tensorrt), r"only on CPUs\n.*engine\.provider"),
    ],
)
def test_other_engines_refuse(config: EngineConfig, said: str, graph: bytes) -> None:
    with pytest.raises(JobError, match=rf"engine\.precision=int8: .*{said}"):
        load_engine(config, DIGITS, int8_graph=graph)


def test_a_failure_of_the_quantiser_names_the_fix() -> None:
    with pytest.raises(JobError, match=r"engine\.precision=int8: .* cannot be quantised: .*\n.*precision=fp32"):
        quantised(DIGITS, digit_pixels(4)[:, :16, :16])
