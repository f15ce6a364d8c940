from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hub_folders
import pytest
import safetensors.torch
import torch
from digit_images import DIGITS
from torch import nn

from actors.errors import JobError
from actors.exporting.hub_configs import hub_configs
from actors.exporting.postprocess import SCORES, Postprocess
from actors.exporting.torch_export import export_pt2, save_weights
from actors.models.network import build_network
from actors.models.outputs import named
from actors.models.sources.registry import model_from
from actors.models.spec import Model

PIXELS = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", 1e-5), ("bf16", 0.3)])
def test_a_program_answers_like_the_network_for_any_number_of_images(
    precision: str, allowed: float, tmp_path: Path
) -> None:
    export_pt2(DIGITS, tmp_path / "model.pt2", precision, Postprocess(), {"task": "{}"})
    program = torch.export.load(tmp_path / "model.pt2").module()
    for count in (1, 5):
        wanted = build_network(DIGITS)(PIXELS[:count])
        given = named(program(PIXELS[:count]))["output"]
        assert given.dtype == torch.float32
        assert (wanted - given).abs().max() < allowed


def test_scores_as_the_only_output(tmp_path: Path) -> None:
    export_pt2(DIGITS, tmp_path / "model.pt2", "fp32", Postprocess("softmax", "output"), {})
    given = torch.export.load(tmp_path / "model.pt2").module()(PIXELS)
    assert list(given) == [SCORES]


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels * self.weight if pixels.sum() > 0 else pixels


def test_a_network_that_cannot_be_exported_is_told_in_one_line(tmp_path: Path) -> None:
    torch.save(Deciding().state_dict(), tmp_path / "x.pt")
    model = Model(f"{__name__}:Deciding", checkpoint=str(tmp_path / "x.pt"))
    with pytest.raises(JobError) as caught:
        export_pt2(model, tmp_path / "model.pt2", "fp32", Postprocess(), {})
    assert "cannot be exported: " in caught.value.problem
    assert "\n" not in caught.value.problem
    assert "\x1b" not in caught.value.problem
    assert not (tmp_path / "model.pt2").exists()


def test_weights_are_saved_with_the_numbers_of_the_precision(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    network.append(nn.Linear(3, 3))
    network[2].weight = network[0].weight  # tied
    for precision, dtype in (("fp32", torch.float32), ("fp16", torch.float16)):
        save_weights(network, tmp_path / "w.safetensors", precision)
        found = safetensors.torch.load_file(tmp_path / "w.safetensors")
        assert found.keys() == network.state_dict().keys()
        assert found["0.weight"].dtype == dtype
        assert found["1.num_batches_tracked"].dtype == torch.int64
        torch.testing.assert_close(found["2.weight"].float(), network[0].weight.detach(), atol=1e-3, rtol=1e-3)


def test_weights_of_a_network_of_transformers_have_the_names_that_it_loads(tmp_path: Path) -> None:
    hub_folders.vit(tmp_path / "vit")
    model = model_from(str(tmp_path / "vit"))
    network = build_network(model)
    save_weights(network, tmp_path / "again.safetensors", "fp32")
    again = build_network(replace(model, checkpoint=str(tmp_path / "again.safetensors")))
    pixels = torch.rand(2, *model.preprocess.input_shape)
    assert torch.equal(again(pixels)["logits"], network(pixels)["logits"])
    files = hub_configs(model, network, ["cat", "dog", "owl"])
    assert files["config.json"]["model_type"] == "vit"
