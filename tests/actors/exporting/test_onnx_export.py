from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from model_inputs import CASES, CHANNELS, PIXELS_NHWC, expected_numbers, make_preprocess
from networks import resnet18
from onnx import TensorProto
from torch import nn

from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, OpenVinoEngineConfig, TorchEngineConfig
from actors.errors import JobError
from actors.exporting.onnx_export import INPUT_NAME, export
from actors.models.spec import Model
from actors.preprocess import Preprocess

HEIGHT, WIDTH = 36, 64
PREPROCESS = Preprocess(resize=None, crop=[HEIGHT, WIDTH], mean=[0.4, 0.5, 0.6], std=[0.3, 0.2, 0.1])


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Restores the number of threads, which engines set for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Deep(nn.Module):
    """A ResNet-18 that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.body = resnet18(num_classes=10)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scores = self.body(pixels)
        return scores, None, pixels.mean(dim=(2, 3)), scores.argmax(dim=1)


class Several(nn.Module):
    """Returns the output of a convolution in one of the shapes of `RETURNS`, and calls view on it, as old code does;
    with channels last, PyTorch rejects that.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * (HEIGHT - 2) * (WIDTH - 2), 5)

    def forward(self, pixels: torch.Tensor) -> Any:
        hidden = self.conv(pixels)
        return RETURNS[self.kind](self.fc(hidden.view(pixels.shape[0], -1)), hidden)


# The keys of the dictionary are names that the exporter gives to inner values and to the input.
RETURNS: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "list": lambda scores, hidden: [scores, hidden],
    "dict": lambda scores, hidden: {
        "linear": scores * 2,
        "conv2d": scores,
        "same": scores,
        INPUT_NAME: hidden.double().sum(dim=(2, 3)),
        "network.fc.bias": scores > 0,
        7: "note",
    },
    "transposed": lambda scores, _: scores.T,
    "none": lambda _, __: None,
    "decides": lambda scores, _: scores if scores.sum() > 0 else -scores,
    "fixed": lambda scores, _: scores.reshape(2, -1),
}


def save(network: nn.Module, folder: Path, architecture: str, **kwargs: Any) -> Model:
    torch.save(network.state_dict(), folder / "weights.pt")
    return Model(architecture, kwargs=kwargs, checkpoint=str(folder / "weights.pt"), preprocess=PREPROCESS)


def several(kind: str, folder: Path) -> Model:
    torch.manual_seed(0)
    return save(Several(kind), folder, f"{__name__}:Several", kind=kind)


def images(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, HEIGHT, WIDTH, 3), dtype=np.uint8)


def ran(path: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function that runs plain onnxruntime."""
    options = onnxruntime.SessionOptions()
    # The highest level optimizes CPU layouts, where onnxruntime 1.31 crashes on some fp16 networks.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (node,) = session.get_inputs()
    assert (node.type, node.shape[1:]) == ("tensor(uint8)", [HEIGHT, WIDTH, 3])
    names = [output.name for output in session.get_outputs()]
    return lambda pixels: dict(zip(names, session.run(None, {node.name: pixels}), strict=True))


def by_torch(model: Model) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    return load_engine(TorchEngineConfig(device=Device.cpu, threads=1), model)


def compare(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert {name: array.dtype for name, array in found.items()} == {name: array.dtype for name, array in wanted.items()}
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4, rtol=1e-5)


@pytest.mark.slow
def test_a_deep_network_gives_what_pytorch_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = save(Deep(), tmp_path, f"{__name__}:Deep")
    export(model, tmp_path / "a.onnx")
    engine, session = by_torch(model), ran(tmp_path / "a.onnx")
    for number in (1, 2, 5):
        compare(session(images(number)), engine(images(number)))
    assert list(session(images(1))) == ["output_0", "output_2", "output_3"]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".pt"] == ["a.onnx"]


class Taken(nn.Module):
    """Returns its input."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels * self.gain


@pytest.mark.parametrize("keys", [*CASES[1:], {"layout": "nhwc"}, {**CHANNELS[1], "layout": "nhwc"}], ids=str)
def test_pytorch_and_every_engine_of_the_exported_file_follow_the_keys(keys: dict[str, Any], tmp_path: Path) -> None:
    model = save(Taken(), tmp_path, f"{__name__}:Taken")
    model.preprocess = make_preprocess(**keys)
    expected = expected_numbers(model.preprocess)
    if keys.get("layout") != "nhwc":
        expected = expected.transpose(0, 3, 1, 2)
    for config in (TorchEngineConfig(device=Device.cpu), OnnxEngineConfig(), OpenVinoEngineConfig()):
        (found,) = load_engine(config, model)(PIXELS_NHWC).values()
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_several_outputs_keep_names_types_and_values(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = several("dict", tmp_path)
    export(model, tmp_path / "a.onnx")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().isEnabledFor(logging.ERROR)
    engine, session = by_torch(model), ran(tmp_path / "a.onnx")
    for number in (1, 2, 5):
        compare(session(images(number)), engine(images(number)))
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"))


@pytest.mark.slow
def test_half_is_the_network_in_fp16_and_nothing_else(tmp_path: Path) -> None:
    model = several("list", tmp_path)
    export(model, tmp_path / "a.onnx", half=True)
    graph = onnx.load(tmp_path / "a.onnx").graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert {types[name] for name in types if name.startswith("network.")} == {TensorProto.FLOAT16}
    assert TensorProto.FLOAT in types.values()  # the normalisation
    found, wanted = ran(tmp_path / "a.onnx")(images(3)), by_torch(model)(images(3))
    assert [(name, array.dtype) for name, array in found.items()] == [(n, array.dtype) for n, array in wanted.items()]
    assert 0 < np.abs(found["output_0"] - wanted["output_0"]).max() < 0.02


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "decides",
            r"Several: cannot be exported to ONNX: \S+: [^\n]*data-dependent[^\n]*\n  fix: choose engine=torch",
        ),
        ("fixed", r"Several: cannot be exported to ONNX: [^\n]*\n  fix: choose engine=torch"),
        ("transposed", r"output output has shape \(5, 2\) for 2 images"),
        ("none", "returns a NoneType without tensors"),
    ],
)
def test_a_failing_export_is_reported_and_nothing_else(
    tmp_path: Path, kind: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(JobError, match=message):
        export(several(kind, tmp_path), tmp_path / "a.onnx")
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "a.onnx").exists()


def test_images_of_a_wrong_size_are_reported(tmp_path: Path) -> None:
    model = several("list", tmp_path)
    model.preprocess = Preprocess(resize=None, crop=[HEIGHT, HEIGHT])
    with pytest.raises(JobError, match=r"cannot be exported to ONNX in fp16: RuntimeError: mat1 and mat2 shapes"):
        export(model, tmp_path / "a.onnx", half=True)
