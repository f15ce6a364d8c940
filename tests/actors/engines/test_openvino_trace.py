from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_inputs import CASES, PIXELS_NHWC, make_preprocess
from torch import nn

from actors.engines.base import load_engine
from actors.engines.configs import Device, OpenVinoEngineConfig, TorchEngineConfig
from actors.engines.graph_source import exported_to_openvino
from actors.engines.openvino_trace import trace
from actors.exporting.export_cache import exported
from actors.models.spec import Model
from actors.preprocess import Preprocess


class Network(nn.Module):
    """Returns one of `RETURNS`; the input has ``channels``, which are last if ``is_nhwc``."""

    def __init__(self, kind: str, channels: int = 3, *, is_nhwc: bool = False) -> None:
        super().__init__()
        self.kind, self.is_nhwc, self.num_calls = kind, is_nhwc, 0
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, pixels: torch.Tensor) -> Any:
        self.num_calls += 1
        hidden = self.norm(self.conv(pixels.permute(0, 3, 1, 2) if self.is_nhwc else pixels)).relu()
        return RETURNS[self.kind](self, hidden)


RETURNS: dict[str, Callable[[Network, torch.Tensor], Any]] = {
    "plain": lambda _, hidden: hidden.mean((2, 3)),
    "dict": lambda _, hidden: {
        "sums": hidden.double().sum((2, 3)),
        "best": hidden.mean((2, 3)).argmax(1),
        "bright": hidden.mean((1, 2, 3)) > 0.4,
        "note": "text",
    },
    "flat": lambda _, hidden: hidden.view(hidden.shape[0], -1, 2).mean(1),
    "decides": lambda _, hidden: hidden.mean((2, 3)) * (1 if hidden.mean() > 0.5 else 2),
    "rounds": lambda _, hidden: hidden.mean((2, 3)) * (1 + int(hidden.max()) // 1000),
    "counts images": lambda _, hidden: hidden.mean((2, 3)) * int(hidden.shape[0]),
    "checks": lambda _, hidden: hidden.mean((2, 3)) if hidden.shape[1] == 4 else hidden,
    "checks on the CPU": lambda _, hidden: hidden.mean((2, 3)) * torch.arange(4.0) if hidden.shape[1] == 4 else hidden,
    "counts calls": lambda network, hidden: hidden.mean((2, 3)) * network.num_calls,
    "one twice": lambda _, hidden: {"first": (sums := hidden.sum((2, 3))), "second": sums},
    "none": lambda _, __: None,
}
TRACED = ("plain", "dict", "flat", "checks", "one twice")


def save(folder: Path, kind: str, preprocess: Preprocess, **kwargs: Any) -> Model:
    torch.manual_seed(0)
    kwargs = {"kind": kind, **kwargs}
    torch.save(Network(**kwargs).state_dict(), folder / "weights.pt")
    return Model(f"{__name__}:Network", kwargs=kwargs, checkpoint=str(folder / "weights.pt"), preprocess=preprocess)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))


def compare(model: Model, num_images: int) -> dict[str, np.ndarray]:
    """Compares OpenVINO with PyTorch. Returns the outputs."""
    pixels_nhwc = np.resize(PIXELS_NHWC, (num_images, *PIXELS_NHWC.shape[1:]))
    found = load_engine(OpenVinoEngineConfig(threads=1), model)(pixels_nhwc)
    wanted = load_engine(TorchEngineConfig(device=Device.cpu, threads=1), model)(pixels_nhwc)
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
    return found


@pytest.mark.parametrize("kind", TRACED)
def test_a_traced_graph_gives_what_pytorch_gives_for_any_number_of_images(kind: str, tmp_path: Path) -> None:
    model = save(tmp_path, kind, make_preprocess())
    assert exported_to_openvino(model).suffix == ".xml"
    for num_images in (1, 2, 5):
        compare(model, num_images)


@pytest.mark.parametrize("keys", [*CASES, {"layout": "nhwc"}, {"layout": "nhwc", "channels": 1}], ids=str)
def test_openvino_normalises_the_pixels_of_a_traced_graph(keys: dict[str, Any], tmp_path: Path) -> None:
    preprocess = make_preprocess(**{"mean": [0.4], "std": [0.2]} | keys if keys.get("channels") == 1 else keys)
    is_nhwc = keys.get("layout") == "nhwc"
    model = save(tmp_path, "plain", preprocess, channels=preprocess.channels, is_nhwc=is_nhwc)
    assert exported_to_openvino(model).suffix == ".xml"
    found = compare(model, 3)
    assert found["output"].std() > 0.01


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("decides", "meta tensors"),
        ("rounds", "meta tensors"),
        ("counts images", "other outputs for other images"),
        ("counts calls", "other outputs for other images"),
        ("none", "without tensors"),
    ],
)
def test_a_network_whose_trace_might_be_wrong_is_not_traced(
    kind: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = save(tmp_path, kind, make_preprocess())
    with caplog.at_level("DEBUG", logger="shardlens"):
        assert not trace(model, tmp_path / "model.xml")
    assert reason in caplog.text
    assert not list(tmp_path.glob("model.*"))


def test_a_network_that_cannot_be_traced_is_exported_to_onnx(tmp_path: Path) -> None:
    model = save(tmp_path, "checks on the CPU", make_preprocess())
    assert exported_to_openvino(model) == exported(model)
    compare(model, 2)
