from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from networks import resnet18, tiny
from torch import nn
from torch._dynamo.utils import counters

from actors.engines.base import Engine, load_engine
from actors.engines.configs import Device, Precision, TorchEngineConfig
from actors.engines.torch_engine import _exact_convolutions
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess, scale_and_bias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SIDE = 32
RETURNS: dict[str, Callable[[torch.Tensor], Any]] = {
    "tensor": lambda mean: mean,
    "tuple": lambda mean: (mean, None, mean.argmax(dim=1)),
    "list": lambda mean: [mean, "note"],
    "dict": lambda mean: {"mean": mean, "hidden": None, 7: mean.double() * 2},
    "ordered": lambda mean: OrderedDict(logits=mean),
    "transposed": lambda mean: mean.T,
    "scalar": lambda mean: mean.sum(),
    "none": lambda _: None,
    "nested": lambda mean: [{"boxes": mean}],
    "raises": lambda mean: mean @ mean,
}


class Returning(nn.Module):
    """Returns the mean colour of each image, in one of the shapes of `RETURNS`."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, pixels: torch.Tensor) -> Any:
        return RETURNS[self.kind](pixels.mean(dim=(2, 3)) * self.gain)


class Viewing(nn.Module):
    """Calls view on the output of a convolution, as old code does; with channels last, PyTorch rejects that."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * 30 * 30, 5)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(pixels).view(pixels.shape[0], -1))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Restores the number of threads, which engines set for the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def save(network: nn.Module, folder: Path, architecture: str, **kwargs: Any) -> Model:
    torch.save(network.state_dict(), folder / "weights.pt")
    return Model(
        architecture,
        kwargs=kwargs,
        checkpoint=str(folder / "weights.pt"),
        preprocess=Preprocess(resize=SIDE, crop=SIDE),
    )


def images(number: int, side: int = SIDE) -> np.ndarray:
    pixels = np.random.default_rng(number).integers(0, 256, (number, side, side, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    return pixels


def plainly(network: nn.Module, pixels_nhwc: np.ndarray) -> np.ndarray:
    """Returns the output of plain PyTorch."""
    scale, bias = scale_and_bias(Preprocess())
    normalised = torch.from_numpy((pixels_nhwc * scale + bias).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        return network.eval()(normalised).numpy()


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return tiny()


@pytest.fixture
def model(network: nn.Module, tmp_path: Path) -> Model:
    return save(network, tmp_path, "networks:tiny")


def test_a_deep_network_gives_the_same_scores(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = resnet18(num_classes=10)
    model = save(network, tmp_path, "networks:resnet18", num_classes=10)
    found = load_engine(TorchEngineConfig(), model)(images(3))["output"]
    wanted = plainly(network, images(3))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).all()


@pytest.mark.parametrize("precision", [Precision.bf16, Precision.fp16])
def test_half_precision_is_near_and_comes_back_as_float32(model: Model, precision: Precision) -> None:
    engine = load_engine(TorchEngineConfig(precision=precision), model)
    exact = load_engine(TorchEngineConfig(precision=Precision.auto), model)
    assert (engine.precision, exact.precision) == (precision.value, "fp32")
    found, wanted = engine(images(4))["output"], exact(images(4))["output"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - wanted).max() < 0.02


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("tensor", {"output": np.float32}),
        ("tuple", {"output_0": np.float32, "output_2": np.int64}),
        ("list", {"output_0": np.float32}),
        ("dict", {"mean": np.float32, "7": np.float32}),
        ("ordered", {"logits": np.float32}),
    ],
)
def test_every_tensor_that_the_network_returns_has_a_name(tmp_path: Path, kind: str, names: dict[str, Any]) -> None:
    model = save(Returning(kind), tmp_path, f"{__name__}:Returning", kind=kind)
    outputs = load_engine(TorchEngineConfig(), model)(images(4))
    assert {name: array.dtype for name, array in outputs.items()} == names
    assert all(len(array) == 4 for array in outputs.values())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("transposed", r"output output has shape \(3, 2\) for 2 images"),
        ("scalar", r"output output has shape \(\) for 2 images"),
        ("none", r"returns a NoneType without tensors"),
        ("nested", r"returns a list without tensors"),
        ("raises", r"fails on a batch of shape \(2, 3, 32, 32\) in fp32: RuntimeError: .*\n.*model\.preprocess\.crop"),
    ],
)
def test_a_network_that_does_not_run_is_reported_when_it_is_loaded(tmp_path: Path, kind: str, message: str) -> None:
    model = save(Returning(kind), tmp_path, f"{__name__}:Returning", kind=kind)
    with pytest.raises(JobError, match=message):
        load_engine(TorchEngineConfig(), model)


def test_a_network_that_needs_contiguous_pixels_gets_them(tmp_path: Path) -> None:
    network = Viewing()
    engine = load_engine(TorchEngineConfig(), save(network, tmp_path, f"{__name__}:Viewing"))
    assert engine.details["memory_format"] == "contiguous_format"
    np.testing.assert_allclose(engine(images(5))["output"], plainly(network, images(5)), atol=1e-5)


def test_other_networks_get_channels_last(model: Model) -> None:
    assert load_engine(TorchEngineConfig(device=Device.cpu), model).details["memory_format"] == "channels_last"


def test_height_comes_before_width(model: Model) -> None:
    engine = load_engine(TorchEngineConfig(), replace(model, preprocess=Preprocess(resize=None, crop=[24, 40])))
    pixels = images(2, 40)[:, :24]
    assert engine(pixels)["output"].shape == (2, 10)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16, Precision.fp16])
def test_a_gpu_gives_what_the_cpu_gives(model: Model, precision: Precision) -> None:
    engine = load_engine(TorchEngineConfig(device=Device.cuda, precision=precision), model)
    wanted = load_engine(TorchEngineConfig(device=Device.cpu), model)(images(9))["output"]
    assert engine.device == "cuda"
    atol = 1e-5 if precision is Precision.fp32 else 0.02
    np.testing.assert_allclose(engine(images(9))["output"], wanted, atol=atol)


def test_convolutions_are_exact_while_the_network_runs_and_as_before_after() -> None:
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    with _exact_convolutions():
        assert convolutions.fp32_precision == "ieee"
    assert convolutions.fp32_precision == before


def test_threads_are_those_asked_for(model: Model) -> None:
    torch.set_num_threads(2)
    assert load_engine(TorchEngineConfig(threads=1), model).details["threads"] == "1"
    assert torch.get_num_threads() == 1
    assert load_engine(TorchEngineConfig(), model).details["threads"] == "1"


@pytest.fixture(scope="module", params=[tiny, resnet18])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, nn.Module]:
    """Returns a network, compiled and as it is."""
    torch.manual_seed(0)
    network = request.param(num_classes=10)
    architecture = f"networks:{request.param.__name__}"
    model = save(network, tmp_path_factory.mktemp("model"), architecture, num_classes=10)
    return load_engine(TorchEngineConfig(device=Device.cpu, threads=1, compile=True), model), network


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 32, 33, 70])
def test_one_compilation_serves_every_size_of_batch(pair: tuple[Engine, nn.Module], number: int) -> None:
    engine, network = pair
    num_graphs = counters["stats"]["unique_graphs"]
    found = engine(images(number))["output"]
    assert counters["stats"]["unique_graphs"] == num_graphs
    assert (found.dtype, found.flags.writeable) == (np.float32, True)
    np.testing.assert_allclose(found, plainly(network, images(number)), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_what_a_compiled_network_answers_depends_on_no_batch(pair: tuple[Engine, nn.Module]) -> None:
    whole = pair[0](images(40))["output"].copy()
    parts = [pair[0](images(40)[start : start + 7])["output"] for start in range(0, 40, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.slow
def test_a_piece_may_be_of_another_size(model: Model) -> None:
    config = TorchEngineConfig(device=Device.cpu, threads=1, compile=True, piece=3)
    engine = load_engine(config, model)
    assert engine.details["piece"] == "3 images"
    wanted = load_engine(TorchEngineConfig(device=Device.cpu), model)(images(7))["output"]
    np.testing.assert_allclose(engine(images(7))["output"], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_report_names_what_was_compiled(pair: tuple[Engine, nn.Module], model: Model) -> None:
    details = pair[0].details
    assert (details["compiled"], details["piece"], details["threads"]) == ("yes", "32 images", "1")
    assert "compiled" not in load_engine(TorchEngineConfig(), model).details


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_cuda_graphs_need_a_gpu(model: Model) -> None:
    with pytest.raises(JobError, match=r"engine\.cuda_graphs=true: there is no GPU here"):
        load_engine(TorchEngineConfig(compile=True, cuda_graphs=True), model)


def test_pixels_on_the_device_give_the_same_answers(model: Model) -> None:
    engine = load_engine(TorchEngineConfig(), model)
    there = torch.from_numpy(images(9).copy()).to(engine.device)
    np.testing.assert_array_equal(engine(there)["output"], engine(images(9))["output"])
    np.testing.assert_array_equal(there.cpu().numpy(), images(9))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("has_graphs", [False, True])
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_a_gpu_gives_what_the_cpu_gives_when_compiled(model: Model, precision: Precision, *, has_graphs: bool) -> None:
    config = TorchEngineConfig(device=Device.cuda, precision=precision, compile=True, cuda_graphs=has_graphs)
    engine = load_engine(config, model)
    wanted = load_engine(TorchEngineConfig(device=Device.cpu), model)(images(140))["output"]
    atol = 1e-5 if precision is Precision.fp32 else 0.02
    np.testing.assert_allclose(engine(images(140))["output"], wanted, atol=atol)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "config",
    [
        TorchEngineConfig(),
        TorchEngineConfig(compile=True),
        TorchEngineConfig(compile=True, cuda_graphs=True),
        TorchEngineConfig(compile=True, piece=16, cuda_graphs=True),
    ],
    ids=lambda config: config.label,
)
@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_a_gpu_answers_alike_however_many_batches_are_on_their_way(
    model: Model, precision: Precision, config: TorchEngineConfig
) -> None:
    engine = load_engine(replace(config, device=Device.cuda, precision=precision), model)
    assert engine.overlaps
    batches = [images(size) for size in (64, 1, 64, 33, 64, 64, 7)]
    wanted = [engine(batch)["output"] for batch in batches]
    pending = [engine.start(batch) for batch in batches]
    for one, output in zip(pending, wanted, strict=True):
        found = one.result()["output"]
        assert found.flags.writeable
        np.testing.assert_array_equal(found, output)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_forgets_batches_that_are_dropped(model: Model) -> None:
    engine = load_engine(TorchEngineConfig(device=Device.cuda), model)
    wanted = engine(images(9))["output"]
    before = allocated_bytes()
    for _ in range(50):
        engine.start(images(64))
    np.testing.assert_array_equal(engine(images(9))["output"], wanted)
    assert allocated_bytes() == before


def allocated_bytes() -> int:
    """Returns the bytes that PyTorch holds on the GPU after all work is done."""
    torch.cuda.synchronize()
    torch.empty(1, device="cuda")  # an allocation makes PyTorch reclaim memory used by other streams
    return torch.cuda.memory_allocated()
