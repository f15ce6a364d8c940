from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from networks import Tiny, tiny
from programs import SIDE, example, pinned, save_pt2, save_script

from actors.errors import JobError
from actors.models.network import build_network
from actors.models.outputs import named

if TYPE_CHECKING:
    from pathlib import Path


class Single(Tiny):
    """Accepts only a single image."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels_nchw.reshape(1, 3, 32, 32))


@pytest.mark.parametrize("network", [Tiny, Single])
def test_it_gives_the_answers_of_the_network(tmp_path: Path, network: type[Tiny]) -> None:
    traced = network(10)
    built = build_network(save_script(traced, tmp_path / "a.torchscript", num_images=1))
    assert not built.training
    assert not any(parameter.requires_grad for parameter in built.parameters())
    found = named(built(example(3)))
    torch.testing.assert_close(found["output"], torch.cat([traced(image) for image in example(3).split(1)]).detach())
    assert hasattr(built, "details") == (network is Single)


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "weights.pt")
    save_pt2(tiny(), tmp_path / "program.ts")
    (tmp_path / "broken.ts").write_bytes(b"")
    for name, seen in (
        ("weights.pt", r"is a state_dict(.|\n)*set model\.architecture"),
        ("program.ts", r"is an exported program(.|\n)*\.pt2"),
        ("broken.ts", "is no whole archive"),
    ):
        with pytest.raises(JobError, match=rf"{name}: {seen}"):
            build_network(pinned(tmp_path / name))


class Flat(torch.nn.Module):
    """Runs on one grey image and fails on two."""

    def forward(self, images_nchw: torch.Tensor) -> torch.Tensor:
        return images_nchw.reshape(1, SIDE * SIDE)[:, :10]


def test_a_network_of_one_grey_image_gets_one_at_a_time(tmp_path: Path) -> None:
    grey = torch.rand(2, 1, SIDE, SIDE)
    with warnings.catch_warnings(action="ignore"):  # deprecated, but still in use
        torch.jit.trace(Flat().eval(), grey[:1]).save(tmp_path / "a.ts")
    model = pinned(tmp_path / "a.ts")
    model.preprocess = replace(model.preprocess, channels=1, mean=[0.5], std=[0.5])
    with torch.inference_mode():
        torch.testing.assert_close(named(build_network(model)(grey))["output"], grey.reshape(2, -1)[:, :10])
