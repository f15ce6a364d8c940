from __future__ import annotations

import random
import resource
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx_models import SIDE, images, make_model, plainly, save_onnx

from actors.engines.base import default_threads, load_engine
from actors.engines.configs import OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.engines.openvino_library import load_openvino
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from places import Place
    from torch import nn

CPU = OpenVinoEngineConfig(threads=1)
HAS_BF16 = "BF16" in load_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def save_graph(path: Path, *nodes: Any, outputs: dict[str, tuple[int, list[Any]]], constants: Any = ()) -> None:
    """Writes a graph of ``nodes`` on an ``image``, with the outputs of these types and shapes."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    infos = [helper.make_tensor_value_info(name, *what) for name, what in outputs.items()]
    onnx.save(make_model(nodes, [image], infos, constants), path)


@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("takes", ["float", "float_nhwc", "uint8", "uint8_nhwc"])
def test_scores_are_those_of_pytorch(model: Model, path: Path, network: nn.Module, takes: str, number: int) -> None:
    save_onnx(network, path, takes=takes)
    outputs = load_engine(CPU, model)(images(number))
    assert list(outputs) == ["logits"]
    assert outputs["logits"].dtype == np.float32
    wanted = plainly(network, images(number), normalise=takes.startswith("float"))
    np.testing.assert_allclose(outputs["logits"], wanted, atol=1e-5)


@pytest.mark.parametrize("takes", ["float", "uint8_nhwc"])
@pytest.mark.parametrize("batch", [1, 4, 8])
def test_a_fixed_batch_size_takes_any_number_of_images(
    model: Model, path: Path, network: nn.Module, batch: int, takes: str
) -> None:
    save_onnx(network, path, takes=takes, batch=batch)
    engine = load_engine(CPU, model)
    for number in (1, 4, 7, 9):
        wanted = plainly(network, images(number), normalise=takes == "float")
        np.testing.assert_allclose(engine(images(number))["logits"], wanted, atol=1e-5)


def test_a_state_dict_gives_what_pytorch_gives(
    tmp_path: Path, network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    torch.save(network.state_dict(), tmp_path / "tiny.pt")
    model = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=Preprocess(resize=SIDE, crop=SIDE))
    engine = load_engine(CPU, model)
    wanted = load_engine(TorchEngineConfig(threads=1), model)
    for number in (1, 5):
        found = engine(images(number))
        assert list(found) == ["output"]
        np.testing.assert_allclose(found["output"], wanted(images(number))["output"], atol=1e-5)


def test_answers_of_one_batch_size_are_always_the_same(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(CPU, model)
    first = {size: engine(images(9)[:size])["logits"] for size in range(1, 10)}
    for size in (2, 9, 1, 9, 5, 5, 8):
        np.testing.assert_array_equal(engine(images(9)[:size])["logits"], first[size])
        np.testing.assert_allclose(first[size], first[9][:size], atol=1e-5)
    np.testing.assert_array_equal(load_engine(CPU, model)(images(9))["logits"], first[9])
    np.testing.assert_array_equal(engine(images(8)[::2])["logits"], engine(images(8)[::2].copy())["logits"])


def test_only_the_last_batch_sizes_keep_memory(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine: Any = load_engine(CPU, model)
    for size in (3, 4, 3, 5, 3):
        engine(images(size))
    assert list(engine._requests) == [5, 3]


def test_the_arrays_of_one_call_outlive_the_next(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(CPU, model)
    first = engine(images(3))["logits"]
    kept = first.copy()
    engine(images(3)[::-1])
    assert first.flags.writeable
    np.testing.assert_array_equal(first, kept)
    del engine
    np.testing.assert_array_equal(first, kept)


def test_pixels_are_not_kept(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(CPU, model)
    pixels = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    watched = weakref.ref(pixels)
    engine(pixels)
    del pixels
    assert watched() is None


@pytest.mark.parametrize("batch", ["n", 2])
def test_external_data_is_found_wherever_the_model_lies(
    place: Place, tmp_path: Path, network: nn.Module, batch: Any
) -> None:
    save_onnx(network, tmp_path / "tiny.onnx", external=True, batch=batch)
    uri = place.put("models/tiny v1.onnx", (tmp_path / "tiny.onnx").read_bytes())
    place.put("models/data/weights.bin", (tmp_path / "data" / "weights.bin").read_bytes())
    preprocess = Preprocess(resize=SIDE, crop=SIDE)
    model = Model(checkpoint=uri, preprocess=preprocess, storage_options=place.options)
    found = load_engine(CPU, model)(images(5))["logits"]
    np.testing.assert_allclose(found, plainly(network, images(5)), atol=1e-5)


def test_a_file_that_changes_later_changes_nothing(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path, external=True)
    engine = load_engine(CPU, model)
    with (path.parent / "data" / "weights.bin").open("r+b") as file:
        file.write(bytes(4000))
    np.testing.assert_allclose(engine(images(5))["logits"], plainly(network, images(5)), atol=1e-5)


def test_integers_stay_integers(model: Model, path: Path) -> None:
    save_graph(
        path,
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["colour"]),
        helper.make_node("ArgMax", ["colour"], ["brightest"], axis=1, keepdims=0),
        outputs={"brightest": (TensorProto.INT64, ["n"]), "colour": (TensorProto.FLOAT, ["n", 3])},
    )
    found = load_engine(CPU, model)(images(4))
    assert {name: (array.shape, array.dtype) for name, array in found.items()} == {
        "brightest": ((4,), np.int64),
        "colour": ((4, 3), np.float32),
    }
    np.testing.assert_array_equal(found["brightest"], found["colour"].argmax(axis=1))


@pytest.mark.parametrize(
    ("operator", "output"),
    [("ReduceMean", (TensorProto.FLOAT, [1, 1, 1, 1])), ("Shape", (TensorProto.INT64, [4]))],
)
def test_an_output_without_an_entry_an_image_is_reported(
    model: Model, path: Path, operator: str, output: tuple[int, list[Any]]
) -> None:
    save_graph(path, helper.make_node(operator, ["image"], ["out"]), outputs={"out": output})
    with pytest.raises(JobError, match=r"the model's output out has shape \(.*\) for 2 images"):
        load_engine(CPU, model)


def test_a_model_that_loads_and_does_not_run_is_reported_when_it_is_loaded(model: Model, path: Path) -> None:
    wrong = helper.make_node("Reshape", ["image", "shape"], ["out"])
    constant = helper.make_node("Constant", [], ["shape"], value_ints=[-1, 7])
    save_graph(path, constant, wrong, outputs={"out": (TensorProto.FLOAT, ["n", 7])})
    with pytest.raises(JobError, match=r"fails on two images of 32 by 32 pixels: .*\n.*model\.preprocess\.crop"):
        load_engine(CPU, model)


def test_precision_is_fp32_where_nothing_is_said(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    assert load_engine(CPU, model).precision == "fp32"
    assert load_engine(replace(CPU, precision=Precision.fp32), model).precision == "fp32"


def test_half_precision_in_the_file_is_computed_as_fp32(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path, takes="float16")
    engine = load_engine(CPU, model)
    found = engine(images(3))["logits"]
    assert (engine.precision, found.dtype) == ("fp32", np.float32)
    assert 0 < np.abs(found - plainly(network, images(3))).max() < 0.02
    with torch.no_grad():
        rounded = network.half().float()
    np.testing.assert_allclose(found, plainly(rounded, images(3)), atol=2e-3)


def test_a_quantized_file_is_taken_as_it_is(model: Model, path: Path) -> None:
    weights = np.random.default_rng(0).integers(-128, 128, (4, 3, 3, 3), dtype=np.int8)
    constants = {"held": weights, "scale": np.array(1 / 128, np.float32), "zero": np.array(0, np.int8)}
    save_graph(
        path,
        helper.make_node("DequantizeLinear", ["held", "scale", "zero"], ["weights"]),
        helper.make_node("Conv", ["image", "weights"], ["all"]),
        helper.make_node("GlobalAveragePool", ["all"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
        outputs={"out": (TensorProto.FLOAT, ["n", 4])},
        constants=[numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    engine = load_engine(CPU, model)
    convolution = torch.nn.Conv2d(3, 4, 3, bias=False)
    convolution.weight.data = torch.from_numpy(weights / np.float32(128))
    mean = torch.nn.Sequential(convolution, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    assert engine.precision == "int8"
    np.testing.assert_allclose(engine(images(3))["out"], plainly(mean, images(3)), atol=1e-3)
    with pytest.raises(JobError, match=r"engine\.precision=fp32: .* holds int8.*\n.*engine\.precision=auto"):
        load_engine(replace(CPU, precision=Precision.fp32), model)


@pytest.mark.skipif(HAS_BF16, reason="this CPU has bf16")
def test_bf16_that_the_cpu_lacks_is_reported(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    with pytest.raises(JobError, match=r"engine\.precision=bf16: .* FP32 .*\n.*engine\.precision=fp32"):
        load_engine(replace(CPU, precision=Precision.bf16), model)


@pytest.mark.skipif(not HAS_BF16, reason="needs a CPU with AVX-512 or AMX")
def test_bf16_is_what_runs_where_it_is_named(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    engine = load_engine(replace(CPU, precision=Precision.bf16), model)
    found = engine(images(3))["logits"]
    assert (engine.precision, found.dtype) == ("bf16", np.float32)
    assert 1e-5 < np.abs(found - plainly(network, images(3))).max() < 0.05


def test_damaged_files_are_reported_and_nothing_else_happens(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    whole, chance = path.read_bytes(), random.Random(0)  # noqa: S311  no secret
    told: list[str] = []
    for _ in range(40):
        data, start = bytearray(whole), chance.randrange(600)  # where the nodes are
        data[start : start + 2] = chance.randbytes(2)
        path.write_bytes(data)
        try:
            load_engine(CPU, model)
        except JobError as error:
            told.append(error.problem)
    assert len(told) > 10
    assert all("tiny.onnx" in problem and "\n" not in problem for problem in told)
    assert any("openvino cannot load it" in problem for problem in told)


def test_loading_says_nothing(model: Model, path: Path, network: nn.Module, capfd: pytest.CaptureFixture[str]) -> None:
    save_onnx(network, path)
    load_engine(OpenVinoEngineConfig(), model)(images(2))
    path.write_bytes(path.read_bytes().replace(b"GlobalAveragePool", b"GlobalAveragePoof"))
    with pytest.raises(JobError, match=r"tiny\.onnx: openvino cannot load it: .*GlobalAveragePoof"):
        load_engine(OpenVinoEngineConfig(), model)
    assert capfd.readouterr() == ("", "")


def test_a_report_learns_threads_and_cpu(model: Model, path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    details = load_engine(CPU, model).details
    assert details["threads"] == "1"
    assert load_openvino().__version__.startswith(details["openvino"])
    assert "FP32" in details["cpu"]
    assert int(load_engine(OpenVinoEngineConfig(threads=4096), model).details["threads"]) < 4096
    assert load_engine(OpenVinoEngineConfig(), model).details["threads"] == str(default_threads())


def test_it_brings_no_library_of_another_engine(path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    done = subprocess.run([sys.executable, "-c", LOADS, path], capture_output=True, text=True, check=True)
    assert done.stdout == "openvino\n"


LOADS = """
import sys
from actors.engines.base import load_engine
from actors.engines.configs import OpenVinoEngineConfig
from actors.models.spec import Model
from actors.preprocess import Preprocess
model = Model(checkpoint=sys.argv[1], preprocess=Preprocess(resize=32, crop=32))
engine = load_engine(OpenVinoEngineConfig(threads=1), model)
print(*{"torch", "onnxruntime", "openvino"} & sys.modules.keys())
"""

RUNS_SHORT = """
import resource
from pathlib import Path
import numpy as np
from actors.device_errors import DeviceMemoryError
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (120 << 20), resource.RLIM_INFINITY))
try:
    engine(np.zeros((6000, 32, 32, 3), np.uint8))
except DeviceMemoryError as error:
    print(error)
engine.release()
print(engine(np.zeros((30, 32, 32, 3), np.uint8))["logits"].shape)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the size of the process")
def test_short_memory_is_reported_and_a_smaller_batch_runs(path: Path, network: nn.Module) -> None:
    save_onnx(network, path)
    command = [sys.executable, "-c", LOADS + RUNS_SHORT, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, said, shape = done.stdout.splitlines()
    assert "llocate" in said or "bad_alloc" in said  # whichever allocation it was that had no room
    assert "src/" not in said
    assert shape == "(30, 10)"


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the size of the process")
def test_memory_that_is_released_goes_back(model: Model, path: Path, network: nn.Module) -> None:
    def process_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    save_onnx(network, path)
    engine = load_engine(CPU, model)
    engine(np.zeros((4000, SIDE, SIDE, 3), np.uint8))  # takes 100 MB and more
    before = process_bytes()
    engine.release()
    assert process_bytes() < before - (80 << 20)
    np.testing.assert_allclose(engine(images(3))["logits"], plainly(network, images(3)), atol=1e-5)
