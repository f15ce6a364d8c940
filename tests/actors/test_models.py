from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from networks import tiny
from onnx_models import save_onnx
from web import serve_folder

from actors.errors import JobError
from actors.models import Model, build_network, read_labels, weights_digest
from actors.preprocess import Preprocess

if TYPE_CHECKING:
    from pathlib import Path

    from places import Place


@pytest.fixture
def model(tmp_path: Path) -> Model:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    return Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"))


def labelled(model: Model, path: Path, data: bytes) -> Model:
    path.write_bytes(data)
    return replace(model, labels=str(path))


def test_the_recipe_costs_no_torch_and_no_onnx() -> None:
    code = "import sys, actors.models; sys.exit(bool({'torch', 'onnx', 'onnxruntime'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sound_recipe_passes_and_travels(model: Model) -> None:
    model.check()
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301  our own bytes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "???"}, r"model\.checkpoint is not given"),
        ({"checkpoint": "no/such.pt"}, r"model\.checkpoint=no/such\.pt: no such file"),
        ({"checkpoint": "nul\0.pt"}, r"no such file"),
        ({"checkpoint": "weights.pt2"}, r"model\.checkpoint=weights\.pt2: a \.pt2 archive can hold code"),
        ({"checkpoint": "weights.h5"}, r"weights\.h5: unknown format\n.*\.safetensors.*\.onnx"),
        ({"checkpoint": "weights"}, "unknown format"),
        ({"checkpoint": "weights.onnx"}, r"holds its own network, yet model\.architecture=networks:tiny"),
        ({"checkpoint": "w.onnx", "architecture": None, "ema": True}, r"model\.ema=True\n.*model\.ema=false"),
        ({"checkpoint": "w.onnx", "architecture": None, "kwargs": {"a": 1}}, r"model\.kwargs=\{'a': 1\}"),
        ({"architecture": None}, r"model\.architecture is not given, and model\.checkpoint=.* weights alone"),
        ({"architecture": "tiny"}, r"model\.architecture=tiny: names no module"),
        ({"preprocess": Preprocess(mean=[0.5])}, r"model\.preprocess\.mean=\[0\.5\]"),
        ({"labels": 1000}, r"model\.labels=1000: neither a path nor a list"),
        ({"labels": "no/such.txt"}, r"model\.labels=no/such\.txt: no such file"),
        ({"labels": "."}, r"model\.labels=\.: cannot be read"),
    ],
)
def test_a_wrong_recipe_is_told_by_its_key(model: Model, change: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        replace(model, **change).check()


def test_a_folder_is_no_checkpoint(model: Model, tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(JobError, match=r"folder\.pt: is a folder"):
        replace(model, checkpoint=str(tmp_path / "folder.pt")).check()


@pytest.mark.parametrize("name", ["a.pt", "a.PTH", "a.bin", "a.ckpt", "a.pth.tar", "a.safetensors"])
def test_state_dicts_are_known_by_their_suffix(model: Model, tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    replace(model, checkpoint=str(tmp_path / name)).check()


@pytest.mark.parametrize(
    "data",
    [b"cat\ndog\ncrane\ncrane", b"cat\ndog\ncrane\ncrane\n\n", b"\xef\xbb\xbfcat\r\ndog \r\ncrane\r\ncrane\r\n"],
)
def test_labels_are_the_lines_of_a_file(model: Model, tmp_path: Path, data: bytes) -> None:
    assert read_labels(labelled(model, tmp_path / "labels", data)) == ["cat", "dog", "crane", "crane"]


def test_labels_may_hold_any_script_and_separator(model: Model, tmp_path: Path) -> None:
    names = ["猫", "a, b", "fin\u2028de\x0bligne", "#1"]
    assert read_labels(labelled(model, tmp_path / "labels", "\n".join(names).encode())) == names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"cat\n\ndog\n", "entry 2 is '', not a name"),
        (b"\x89PNG\r\n\x1a\n", "no UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused(model: Model, tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(JobError, match=rf"model\.labels=.*labels: {message}"):
        labelled(model, tmp_path / "labels", data).check()


def test_labels_may_stand_in_the_config(model: Model) -> None:
    assert read_labels(replace(model, labels=["cat", 7, "yes"])) == ["cat", "7", "yes"]
    assert read_labels(model) is None


@pytest.mark.parametrize("label", [True, None, 1.5, "", " ", ["cat"]])
def test_what_yaml_made_of_a_name_is_told(model: Model, label: object) -> None:
    with pytest.raises(JobError, match=r"model\.labels: entry 2 is .*\n.*quote yes, no"):
        replace(model, labels=["cat", label]).check()


def test_checkpoint_and_labels_come_from_any_store(model: Model, place: Place, tmp_path: Path) -> None:
    weights = place.put("models/a b#1.pt", (tmp_path / "tiny.pt").read_bytes())
    labels = place.put("models/labels.txt", b"cat\ndog\n")
    remote = replace(model, checkpoint=weights, labels=labels, storage_options=place.options)
    remote.check()
    assert read_labels(remote) == ["cat", "dog"]
    assert weights_digest(remote) == weights_digest(model)
    with pytest.raises(JobError, match=r"nowhere\.pt: no such file"):
        replace(remote, checkpoint=f"{place.root}/nowhere.pt").check()


def test_a_signed_url_works_and_stays_secret(model: Model, tmp_path: Path) -> None:
    with serve_folder(tmp_path) as (address, _):
        signed = replace(model, checkpoint=f"{address}/tiny.pt?signature=abcdef")
        signed.check()
        assert weights_digest(signed) == weights_digest(model)
        with pytest.raises(JobError, match="no such file") as raised:
            replace(model, checkpoint=f"{address}/nowhere.pt?signature=abcdef").check()
    assert "abcdef" not in str(raised.value)


def test_the_network_is_ready_to_predict(model: Model) -> None:
    network = build_network(model)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    saved = torch.load(model.checkpoint)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())


def test_what_is_no_network_is_refused(model: Model) -> None:
    with pytest.raises(JobError, match=r"model\.architecture=builtins:dict: gives a dict, no torch\.nn\.Module"):
        build_network(replace(model, architecture="builtins:dict"))


def test_arguments_that_the_checkpoint_does_not_fit_are_told(model: Model) -> None:
    with pytest.raises(JobError, match=r"fc\.weight is \(10, 16\) in the checkpoint, \(7, 16\) in the network"):
        build_network(replace(model, kwargs={"num_classes": 7}))


def test_equal_weights_have_one_digest_whatever_holds_them(model: Model, tmp_path: Path) -> None:
    weights = torch.load(model.checkpoint)
    safetensors.torch.save_file(weights, tmp_path / "a.safetensors")
    wrapped = {f"module.{name}": tensor for name, tensor in reversed(weights.items())}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "b.ckpt")
    digests = {weights_digest(replace(model, checkpoint=str(tmp_path / name))) for name in ("a.safetensors", "b.ckpt")}
    assert digests == {weights_digest(model)}
    assert weights_digest(model, build_network(model)) == weights_digest(model)


def test_other_weights_have_another_digest(model: Model, tmp_path: Path) -> None:
    weights = torch.load(model.checkpoint)
    weights["fc.bias"][3] += 1e-6
    torch.save(weights, tmp_path / "other.pt")
    assert weights_digest(replace(model, checkpoint=str(tmp_path / "other.pt"))) != weights_digest(model)


def test_the_digest_of_an_onnx_model_counts_its_external_data(tmp_path: Path) -> None:
    model = Model(checkpoint=str(tmp_path / "tiny.onnx"))
    save_onnx(tiny().eval(), tmp_path / "tiny.onnx", external=True)
    model.check()
    before = weights_digest(model)
    assert weights_digest(model) == before
    data = tmp_path / "data" / "weights.bin"
    changed = bytearray(data.read_bytes())
    changed[0] ^= 1
    data.write_bytes(changed)
    assert weights_digest(model) != before
