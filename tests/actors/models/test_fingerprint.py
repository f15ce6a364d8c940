"""Digests of weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import torch
from networks import tiny
from onnx_models import save_onnx
from web import serve_folder

from actors.errors import JobError
from actors.models.fingerprint import weights_digest
from actors.models.network import build_network
from actors.models.spec import Model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_signed_url_works_and_stays_secret(model: Model, tmp_path: Path) -> None:
    with serve_folder(tmp_path) as (address, _):
        signed = replace(model, checkpoint=f"{address}/tiny.pt?signature=abcdef")
        signed.check()
        assert weights_digest(signed) == weights_digest(model)
        with pytest.raises(JobError, match="no such file") as raised:
            replace(model, checkpoint=f"{address}/nowhere.pt?signature=abcdef").check()
    assert "abcdef" not in str(raised.value)


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
