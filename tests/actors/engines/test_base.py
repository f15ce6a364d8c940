"""The contract of `actors.engines.base`, which every engine fulfils for every form of model, and loading of engines.
The test file of each engine covers its specific guarantees.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from networks import Coloured, Fixed, tiny
from onnx_models import SIDE, images, plainly, save_coloured, save_graph, save_onnx
from photos import photo
from programs import PREPROCESS, save_ir, save_pt2, save_script

from actors.device_errors import DeviceMemoryError
from actors.engines.base import Engine, _cpu_quota, default_threads, describe, load_engine
from actors.engines.configs import (
    Device,
    EngineConfig,
    OnnxEngineConfig,
    OpenVinoEngineConfig,
    Precision,
    TorchEngineConfig,
)
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from places import Place
    from torch import nn

CONFIGS: dict[str, EngineConfig] = {
    "torch": TorchEngineConfig(device=Device.cpu, threads=1),
    "onnxruntime": OnnxEngineConfig(device=Device.cpu, threads=1),
    "openvino": OpenVinoEngineConfig(threads=1),
}
FILE_ENGINES = ("onnxruntime", "openvino")  # engines that run an .onnx file
WHOLE = [("torch", "pt2"), ("torch", "script"), ("openvino", "ir")]
CASES = [("torch", "state_dict"), *((name, form) for name in FILE_ENGINES for form in ("onnx", "state_dict")), *WHOLE]
every_case = pytest.mark.parametrize(("name", "form"), CASES)
every_file_engine = pytest.mark.parametrize("name", FILE_ENGINES)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the size of the process")


@dataclass
class Loaded:
    """An engine with a `tiny` network on one CPU thread."""

    engine: Engine
    config: EngineConfig
    model: Model
    network: nn.Module

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        (output,) = self.engine(pixels).values()
        return output


@pytest.fixture(autouse=True)
def num_threads() -> Iterator[None]:
    """Restores PyTorch's number of threads, which engines set for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Model], nn.Module]:
    """Returns one network in each form, and the network itself."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    network = tiny().eval()
    save_onnx(network, folder / "tiny.onnx")
    models = {
        "state_dict": save_state_dict(network, folder, "networks:tiny"),
        "onnx": Model(checkpoint=str(folder / "tiny.onnx"), preprocess=PREPROCESS),
        "pt2": save_pt2(network, folder / "tiny.pt2"),
        "script": save_script(network, folder / "tiny.torchscript"),
        "ir": save_ir(network, folder / "ir.xml"),
    }
    return models, network


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def loaded(request: pytest.FixtureRequest, recipes: tuple[dict[str, Model], nn.Module]) -> Loaded:
    name, form = request.param
    config, model = CONFIGS[name], recipes[0][form]
    return Loaded(load_engine(config, model), config, model, recipes[1])


def save_state_dict(network: nn.Module, folder: Path, architecture: str, **kwargs: Any) -> Model:
    torch.save(network.state_dict(), folder / "tiny.pt")
    return Model(architecture, kwargs=kwargs, checkpoint=str(folder / "tiny.pt"), preprocess=PREPROCESS)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, output in expected.items():
        np.testing.assert_array_equal(found[name], output)


# Answers


@pytest.mark.parametrize("number", [1, 2, 7, 64])
def test_outputs_equal_those_of_the_network(loaded: Loaded, number: int) -> None:
    outputs = loaded.engine(images(number))
    assert list(outputs) == ["logits" if loaded.model.checkpoint.endswith((".onnx", ".xml")) else "output"]
    (output,) = outputs.values()
    assert (output.dtype, output.shape, output.flags.writeable) == (np.float32, (number, 10), True)
    np.testing.assert_allclose(output, plainly(loaded.network, images(number)), atol=1e-5)


def test_photographs_get_the_answers_of_the_network(loaded: Loaded) -> None:
    pixels = np.stack([np.asarray(photo(number, width=SIDE, height=SIDE)) for number in range(6)])
    np.testing.assert_allclose(loaded(pixels), plainly(loaded.network, pixels), atol=1e-5)


def test_results_depend_on_batching_only_by_rounding(loaded: Loaded) -> None:
    whole = loaded(images(9))
    for size in (1, 2, 4):
        parts = [loaded(images(9)[start : start + size]) for start in range(0, 9, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_batches_of_one_size_get_the_same_bits_again(loaded: Loaded) -> None:
    first = {size: loaded(images(9)[:size]) for size in range(1, 10)}
    for size in (2, 9, 1, 9, 5, 5, 8):
        np.testing.assert_array_equal(loaded(images(9)[:size]), first[size])
    again = replace(loaded, engine=load_engine(loaded.config, loaded.model))
    np.testing.assert_array_equal(again(images(9)), first[9])


def test_strided_pixels_are_read_correctly(loaded: Loaded) -> None:
    np.testing.assert_array_equal(loaded(images(8)[::2]), loaded(images(8)[::2].copy()))


def test_outputs_belong_to_the_caller(loaded: Loaded) -> None:
    engine = load_engine(loaded.config, loaded.model)
    outputs = engine(images(3))
    expected = {name: output.copy() for name, output in outputs.items()}
    engine(images(3)[::-1])
    assert_equal(outputs, expected)
    del engine
    assert_equal(outputs, expected)


def test_pixels_are_not_kept(loaded: Loaded) -> None:
    pixels = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    reference = weakref.ref(pixels)
    loaded(pixels)
    del pixels
    assert reference() is None


def test_a_started_batch_does_not_follow_its_pixels(loaded: Loaded) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, SIDE, SIDE, 3), dtype=np.uint8)
    expected = [loaded.engine(batch) for batch in pixels]
    pending = [loaded.engine.start(batch) for batch in pixels]
    assert not loaded.engine.overlaps  # on a CPU
    pixels[:] = 0
    for batch, outputs in zip(pending, expected, strict=True):
        assert_equal(batch.result(), outputs)


def test_memory_can_be_released_at_any_time(loaded: Loaded) -> None:
    before = loaded(images(3))
    loaded.engine.release()
    np.testing.assert_array_equal(loaded(images(3)), before)


@every_case
def test_outputs_keep_names_order_and_types(tmp_path: Path, name: str, form: str) -> None:
    if form == "onnx":
        save_coloured(tmp_path / "tiny.onnx")
        model = Model(checkpoint=str(tmp_path / "tiny.onnx"), preprocess=PREPROCESS)
    else:
        model = save_state_dict(Coloured(), tmp_path, "networks:Coloured")
    outputs = load_engine(CONFIGS[name], model)(images(4))
    described = [(name, output.shape, output.dtype) for name, output in outputs.items()]
    assert described == [("brightest", (4,), np.int64), ("colour", (4, 3), np.float32)]
    np.testing.assert_array_equal(outputs["brightest"], outputs["colour"].argmax(axis=1))


@every_file_engine
@pytest.mark.parametrize("batch", ["n", 1, 4, 8])
@pytest.mark.parametrize("takes", ["float", "float_nhwc", "uint8", "uint8_nhwc"])
def test_a_file_takes_pixels_in_any_layout_and_batches_of_any_size(
    model: Model, path: Path, network: nn.Module, name: str, takes: str, batch: Any
) -> None:
    save_onnx(network, path, takes=takes, batch=batch)
    engine = load_engine(CONFIGS[name], model)
    for number in (1, 4, 7, 9):
        expected = plainly(network, images(number), normalise=takes.startswith("float"))
        np.testing.assert_allclose(engine(images(number))["logits"], expected, atol=1e-5)


@every_file_engine
@pytest.mark.parametrize("batch", ["n", 2])
def test_external_data_is_found_on_any_storage(
    place: Place, tmp_path: Path, network: nn.Module, name: str, batch: Any
) -> None:
    save_onnx(network, tmp_path / "tiny.onnx", external=True, batch=batch)
    assert (tmp_path / "data" / "weights.bin").stat().st_size > 4000
    uri = place.put("models/tiny v1.onnx", (tmp_path / "tiny.onnx").read_bytes())
    place.put("models/data/weights.bin", (tmp_path / "data" / "weights.bin").read_bytes())
    model = Model(checkpoint=uri, preprocess=PREPROCESS, storage_options=place.options)
    model.check()
    found = load_engine(CONFIGS[name], model)(images(5))["logits"]
    np.testing.assert_allclose(found, plainly(network, images(5)), atol=1e-5)


# Refusals


@every_case
def test_images_of_the_wrong_size_are_refused_with_the_fix(
    tmp_path: Path, recipes: tuple[dict[str, Model], nn.Module], name: str, form: str
) -> None:
    fixed = save_state_dict(Fixed(SIDE), tmp_path, "networks:Fixed", side=SIDE)
    if form == "script":
        pytest.skip("a traced network does not tell the size of its images")
    model = replace(fixed if form == "state_dict" else recipes[0][form], preprocess=Preprocess(resize=None, crop=48))
    is_exported = name != "torch" and form == "state_dict"
    with pytest.raises(JobError, match="fix: choose engine=torch" if is_exported else r"model\.preprocess\.crop"):
        load_engine(CONFIGS[name], model)


@every_file_engine
@pytest.mark.parametrize(("operator", "shape"), [("ReduceMean", [1, 1, 1, 1]), ("Shape", [4])])
def test_an_output_without_an_entry_per_image_is_refused(
    model: Model, path: Path, name: str, operator: str, shape: list[int]
) -> None:
    save_graph(path, (operator, ["image"], {}), output=shape)
    with pytest.raises(JobError, match=r"the model's output out has shape \(.*\) for 2 images"):
        load_engine(CONFIGS[name], model)


@every_file_engine
def test_a_file_that_loads_but_does_not_run_is_refused(model: Model, path: Path, name: str) -> None:
    constant = ("Constant", [], {"value_ints": [-1, 7]})
    save_graph(path, constant, ("Reshape", ["image", "out0"], {}), output=["n", 7])
    with pytest.raises(JobError, match=r"fails on two images of 32 by 32 pixels: .*\n.*model\.preprocess\.crop"):
        load_engine(CONFIGS[name], model)


@every_file_engine
def test_a_damaged_file_is_a_mistake_or_runs(model: Model, path: Path, network: nn.Module, name: str) -> None:
    save_onnx(network, path)
    whole, chance = path.read_bytes(), random.Random(0)  # noqa: S311  no secret
    problems = []
    for number in range(60):
        data = bytearray(whole)
        if number % 2:
            start = chance.randrange(600)  # within the nodes
            data[start : start + 2] = chance.randbytes(2)
        else:
            start = chance.randrange(len(data))
            data[start : start + 4] = chance.randbytes(chance.randrange(8))
        if number % 5 == 0:
            del data[start:]
        path.write_bytes(data)
        try:
            load_engine(CONFIGS[name], model)
        except JobError as error:
            problems.append(error.problem)
    assert len(problems) > 20
    assert all("tiny.onnx" in problem and "\n" not in problem for problem in problems)
    assert any(f"{name} cannot load it" in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("case", "precision", "message"),
    [
        (("onnxruntime", "onnx"), "bf16", r".* holds fp32.*\n.*engine\.precision=auto"),
        (("onnxruntime", "onnx"), "fp16", r".* holds fp32.*\n.*engine\.precision=auto"),
        (("onnxruntime", "state_dict"), "bf16", r".*tiny\.pt.*\n  fix: choose engine=torch or openvino"),
        (("onnxruntime", "state_dict"), "fp16", r".* only on a GPU.*\n  fix: set engine\.precision=fp32"),
        (("openvino", "onnx"), "fp16", r".* fp32 and bf16 on a CPU\n  fix: choose one of the two"),
        (("openvino", "state_dict"), "fp16", r".* fp32 and bf16 on a CPU\n  fix: choose one of the two"),
    ],
)
def test_a_missing_precision_is_refused_and_nothing_is_exported(
    recipes: tuple[dict[str, Model], nn.Module],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, str],
    precision: str,
    message: str,
) -> None:
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(JobError, match=rf"engine\.precision={precision}: {message}"):
        load_engine(replace(CONFIGS[case[0]], precision=Precision[precision]), recipes[0][case[1]])
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@every_case
def test_a_missing_gpu_is_refused(recipes: tuple[dict[str, Model], nn.Module], name: str, form: str) -> None:
    with pytest.raises(JobError, match=r"engine\.device=cuda.*\n  fix: "):
        load_engine(replace(CONFIGS[name], device=Device.cuda), recipes[0][form])
    assert load_engine(replace(CONFIGS[name], device=Device.auto), recipes[0][form]).device == "cpu"


def test_the_wrong_engine_is_refused_with_the_right_one(recipes: tuple[dict[str, Model], nn.Module]) -> None:
    with pytest.raises(JobError, match=r"engine=torch: cannot run .*tiny\..*\n  fix: choose engine=onnxruntime"):
        load_engine(TorchEngineConfig(), recipes[0]["onnx"])


# Memory and libraries, in a separate process: here, an earlier test may have left memory to reuse

ALONE = """
import json, pickle, resource, sys
from pathlib import Path
import numpy as np
from actors.device_errors import DeviceMemoryError
from actors.engines.base import load_engine

def process_bytes(field):
    return int(Path("/proc/self/statm").read_text().split()[field]) * resource.getpagesize()

engine = load_engine(*pickle.loads(bytes.fromhex(sys.argv[1])))
libraries = sorted({"torch", "onnxruntime", "openvino"} & sys.modules.keys())
resource.setrlimit(resource.RLIMIT_AS, (process_bytes(0) + (120 << 20), resource.RLIM_INFINITY))
try:
    engine(np.zeros((6000, 32, 32, 3), np.uint8))
except DeviceMemoryError as error:
    message = str(error)
engine.release()
(output,) = engine(np.zeros((30, 32, 32, 3), np.uint8)).values()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
engine(np.zeros((4000, 32, 32, 3), np.uint8))  # takes 100 MB and more
before = process_bytes(1)  # resident: an arena that malloc gives to a new thread reserves 64 MB of addresses
engine.release()
engine(np.zeros((3, 32, 32, 3), np.uint8))
print(json.dumps([libraries, message, output.shape, before - process_bytes(1)]))
"""


@pytest.fixture(scope="module")
def exported(recipes: tuple[dict[str, Model], nn.Module]) -> None:
    """Exports in a process without the modules of these tests, which would otherwise count as sources of the export."""
    recipe = pickle.dumps((CONFIGS["onnxruntime"], recipes[0]["state_dict"])).hex()
    load = "import pickle, sys\nfrom actors.engines.base import load_engine\nload_engine(*pickle.loads(bytes.fromhex("
    run_python(f"{load}sys.argv[1])))", recipe)


@linux_only
@pytest.mark.slow
@pytest.mark.usefixtures("exported")
def test_an_engine_alone_loads_its_library_only_and_outlives_a_batch_too_large(loaded: Loaded) -> None:
    libraries, error, shape, freed_bytes = json.loads(run_python(ALONE, as_argument(loaded)).splitlines()[-1])
    assert libraries == [loaded.config.name]
    assert "alloc" in error.lower()
    assert "src/" not in error or loaded.config.name == "onnxruntime"  # its messages name its own source files
    assert shape == [30, 10]
    if loaded.config.name != "torch":  # it caches no memory on a CPU
        assert freed_bytes > 80 << 20


def test_an_engine_that_does_not_fit_is_a_mistake_of_the_job(
    recipes: tuple[dict[str, Model], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DeviceMemoryError("out of memory")

    monkeypatch.setattr("actors.engines.torch_engine.build_network", fail)
    with pytest.raises(JobError, match=r"does not fit into the memory of its device: out of memory\n  fix: "):
        load_engine(CONFIGS["torch"], recipes[0]["state_dict"])


# Threads and details


def test_details_are_strings_and_name_versions_and_threads(loaded: Loaded) -> None:
    details = describe(loaded.engine)
    name = loaded.config.name
    expected = {"engine": name, "device": "cpu", "precision": "fp32", "threads": "1"}
    assert expected.items() <= details.items()
    assert details[name].split("+")[0].count(".") >= 2  # the library version
    assert {type(value) for value in details.values()} == {str}  # reading the report must not require the library
    assert pickle.loads(pickle.dumps((loaded.config, details))) == (loaded.config, details)  # noqa: S301  our own


def test_without_a_number_an_engine_takes_the_threads_of_its_process(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    engine = load_engine(replace(loaded.config, threads=None), loaded.model)
    assert engine.details["threads"] == str(default_threads()) == "1"


def test_fp32_is_what_auto_means(loaded: Loaded) -> None:
    engine = load_engine(replace(loaded.config, precision=Precision.fp32), loaded.model)
    assert engine.precision == loaded.engine.precision == "fp32"
    assert_equal(engine(images(3)), loaded.engine(images(3)))


def test_loading_prints_nothing(loaded: Loaded, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    load_engine(loaded.config, loaded.model)(images(2))
    whole = Path(loaded.model.checkpoint)
    broken = tmp_path / whole.name
    broken.write_bytes(whole.read_bytes()[:-50])
    if whole.suffix == ".xml":
        (tmp_path / whole.with_suffix(".bin").name).write_bytes(whole.with_suffix(".bin").read_bytes())
    with pytest.raises(JobError, match=broken.name):
        load_engine(loaded.config, replace(loaded.model, checkpoint=str(broken)))
    assert capfd.readouterr() == ("", "")


def test_importing_the_interface_loads_no_library() -> None:
    code = "import sys, actors.engines.base\nprint(sys.modules.keys() & {'torch', 'onnxruntime', 'openvino', 'onnx'})"
    assert run_python(code) == "set()\n"


def as_argument(loaded: Loaded) -> str:
    return pickle.dumps((loaded.config, loaded.model)).hex()


def run_python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "fixtures")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("number", ["3", "1"])
def test_the_number_of_threads_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", number)
    assert default_threads() == int(number)


@pytest.mark.parametrize("number", ["", "0", "4,2"])
def test_without_a_number_threads_are_at_most_the_cpus(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", number)
    assert 1 <= default_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(("text", "cpus"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("400000 100000\n", 4)])
def test_the_cpu_quota_of_a_container_is_read(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert _cpu_quota(tmp_path / "cpu.max") == cpus


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense"])
def test_no_quota_is_no_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert _cpu_quota(tmp_path / "cpu.max") > 1000
    assert _cpu_quota(tmp_path / "nowhere") > 1000
