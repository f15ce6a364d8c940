from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import tiny
from places import Place

from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, TorchEngineConfig
from actors.errors import JobError
from actors.exporting.export_cache import exported, is_current, model_key
from actors.models.spec import Model
from actors.preprocess import Preprocess

SIDE = 32
PREPROCESS = Preprocess(resize=SIDE, crop=SIDE)

# The user's code. It logs each time a network is built, once per export.
SHAPES = """
import layers

def counted(log, num_classes=10):
    with open(log, "a") as file:
        file.write("built\\n")
    return layers.tiny(num_classes)
"""
LAYERS = "from networks import tiny\n"

CODE = """
import sys
from actors.exporting.export_cache import exported
from actors.models.spec import Model
from actors.preprocess import Preprocess
recipe = {"kwargs": {"log": sys.argv[2]}, "preprocess": Preprocess(resize=32, crop=32)}
print(exported(Model("shapes:counted", checkpoint=sys.argv[1], **recipe)))
print(*sys.modules.keys() & {"torch", "onnxscript"})
"""


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yields the folder of the user's code, with a cache for one test; the modules are unloaded afterwards."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "shapes.py").write_text(SHAPES)
    (folder / "layers.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("SHARDLENS_CACHE", str(tmp_path / "cache"))
    yield folder
    for name in ("shapes", "layers"):
        sys.modules.pop(name, None)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    kwargs = {"log": str(tmp_path / "log")}
    return Model("shapes:counted", kwargs=kwargs, checkpoint=str(tmp_path / "tiny.pt"), preprocess=PREPROCESS)


def start(model: Model) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE, model.checkpoint, model.kwargs["log"]]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_of_processes_that_ask_at_once_one_exports_and_the_rest_need_no_torch(model: Model, code: Path) -> None:
    processes = [start(model) for _ in range(2)]
    said = [process.communicate()[0].split() for process in processes]
    path = Path(said[0][0])
    log = Path(model.kwargs["log"])
    assert sorted(len(words) for words in said) == [1, 3]
    assert said[1][0] == str(path)
    assert log.read_text() == "built\n"

    assert exported(model) == path
    assert log.read_text() == "built\n"
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)
    found = load_engine(OnnxEngineConfig(device=Device.cpu, threads=1), model)(pixels)
    wanted = load_engine(TorchEngineConfig(device=Device.cpu, threads=torch.get_num_threads()), model)(pixels)
    assert found.keys() == wanted.keys() == {"output"}
    np.testing.assert_allclose(found["output"], wanted["output"], atol=1e-4)

    assert is_current(path.parent)
    (code / "layers.py").write_text(f"{LAYERS}\nx = 1")
    assert not is_current(path.parent)
    (code / "layers.py").write_text(LAYERS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    log.unlink()
    assert exported(model) == path
    assert (log.read_text(), len(path.read_bytes())) == ("built\n", len(whole))


def test_the_same_recipe_has_the_samemodel_key_wherever_its_weights_lie(model: Model, tmp_path: Path) -> None:
    moved = tmp_path / "moved.pt"
    moved.write_bytes(Path(model.checkpoint).read_bytes())
    assert model_key(replace(model, checkpoint=str(moved)), half=False) == model_key(model, half=False)


def test_whatever_goes_into_the_file_changes_themodel_key(model: Model, code: Path) -> None:
    keys = [
        model_key(model, half=False),
        model_key(model, half=True),
        model_key(replace(model, ema=True), half=False),
        model_key(replace(model, kwargs=model.kwargs | {"num_classes": 5}), half=False),
        model_key(replace(model, architecture="layers:tiny"), half=False),
        model_key(replace(model, preprocess=replace(PREPROCESS, mean=[0.5, 0.5, 0.5])), half=False),
        model_key(replace(model, preprocess=replace(PREPROCESS, crop=24)), half=False),
    ]
    (code / "shapes.py").write_text(f"{SHAPES}\nx = 1")
    keys.append(model_key(model, half=False))
    torch.manual_seed(1)
    torch.save(tiny().state_dict(), model.checkpoint)
    keys.append(model_key(model, half=False))
    assert len(set(keys)) == len(keys)


def test_weights_anywhere_have_amodel_key_that_follows_them(model: Model, place: Place) -> None:
    uri = place.put("tiny.pt", b"first")
    model = replace(model, checkpoint=uri, storage_options=place.options)
    first = model_key(model, half=False)
    assert model_key(model, half=False) == first
    place.put("tiny.pt", b"other")
    assert model_key(model, half=False) != first


def test_weights_that_are_missing_are_reported_and_nothing_is_kept(model: Model, place: Place, tmp_path: Path) -> None:
    model = replace(model, checkpoint=f"{place.root}/no.pt", storage_options=place.options)
    with pytest.raises(JobError, match=r"model\.checkpoint=.*no\.pt: no such file"):
        exported(model)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("checkpoint", "content", "missing"),
    [
        (
            "a.safetensors.index.json",
            b'{"weight_map": {"fc.bias": "a-00002-of-00002.safetensors"}}',
            "a-00002-of-00002",
        ),
        ("a.xml", b"<net/>", r"a\.bin"),
    ],
)
def test_a_missing_companion_is_named_and_not_the_checkpoint(
    checkpoint: str, content: bytes, missing: str, place: Place
) -> None:
    uri = place.put(checkpoint, content)
    with pytest.raises(JobError, match=rf"{checkpoint}: its file {missing}.* is missing\n  fix: put that file into"):
        model_key(Model(checkpoint=uri, storage_options=place.options))
