from __future__ import annotations

import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from networks import Tiny, tiny
from programs import PREPROCESS, example, pinned, save_pt2, save_script

from actors.errors import JobError
from actors.models.network import build_network
from actors.models.outputs import named

if TYPE_CHECKING:
    from pathlib import Path

NHWC = (0, 2, 3, 1)


class Last(Tiny):
    """Accepts images with channels last, and creates a tensor of its own."""

    def forward(self, pixels_nhwc: torch.Tensor) -> torch.Tensor:
        scores = super().forward(pixels_nhwc.permute(0, 3, 1, 2))
        return scores + torch.arange(scores.shape[1], device=scores.device)


class Training(Tiny):
    def __init__(self) -> None:
        super().__init__(10)
        self.norm = torch.nn.BatchNorm2d(3)

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(self.norm(pixels_nchw))


def run(path: Path, images: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return named(build_network(pinned(path))(images))


@pytest.mark.parametrize("num_images", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "batch", [torch.export.Dim.DYNAMIC, None, torch.export.Dim("n", max=3), torch.export.Dim("n", min=4, max=6)]
)
def test_a_program_takes_batches_of_any_size(tmp_path: Path, batch: object, num_images: int) -> None:
    network = tiny()
    save_pt2(network, tmp_path / "a.pt2", batch=batch, num_images=5 if getattr(batch, "min", 0) == 4 else 2)
    found = run(tmp_path / "a.pt2", example(num_images))
    assert list(found) == ["output"]
    torch.testing.assert_close(found["output"], network(example(num_images)).detach())


def test_a_fixed_batch_is_told(tmp_path: Path) -> None:
    fixed = build_network(save_pt2(tiny(), tmp_path / "a.pt2", batch=None, num_images=3))
    assert fixed.details == {"batches": "cut into pieces of 3 images: the program was exported for no other size"}
    assert not hasattr(build_network(save_pt2(tiny(), tmp_path / "b.pt2")), "details")


def test_the_layout_and_the_name_of_the_argument_are_those_of_the_program(tmp_path: Path) -> None:
    network, images = Last(10).eval(), example(3)
    program = torch.export.export(
        network,
        (),
        {"pixels_nhwc": images.permute(NHWC)},
        dynamic_shapes={"pixels_nhwc": {0: torch.export.Dim.DYNAMIC}},
    )
    torch.export.save(program, tmp_path / "a.pt2")
    found = run(tmp_path / "a.pt2", example(2))["output"]
    right = network(example(2).permute(NHWC)).detach()
    torch.testing.assert_close(found, right)
    model = pinned(tmp_path / "a.pt2")
    model.preprocess = replace(model.preprocess, layout="nhwc")  # the engine then transposes the images itself
    with torch.inference_mode():
        torch.testing.assert_close(named(build_network(model)(example(2).permute(NHWC)))["output"], right)
    for changes, seen in (({"layout": "nchw"}, "32 channels, in the layout nchw"), ({"channels": 1}, "32 channels")):
        model.preprocess = replace(PREPROCESS, **changes)
        with pytest.raises(JobError, match=seen):
            build_network(model)


def test_tensors_that_a_program_makes_follow_it_to_another_device(tmp_path: Path) -> None:
    program = torch.export.export(
        Last(10).eval(), (example().permute(NHWC),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    torch.export.save(program, tmp_path / "a.pt2")
    network = build_network(pinned(tmp_path / "a.pt2")).to("meta")
    assert network(example().to("meta")).device.type == "meta"


def test_another_size_is_told(tmp_path: Path) -> None:
    save_pt2(tiny(), tmp_path / "a.pt2")
    model = pinned(tmp_path / "a.pt2")
    model.preprocess = type(PREPROCESS)(resize=64, crop=64)
    with pytest.raises(JobError, match=r"takes 32 by 32\n.*model\.preprocess\.crop=\[32,32\]"):
        build_network(model)


def test_a_program_of_training_is_refused(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Training().train(), (example(),)), tmp_path / "a.pt2")
    with pytest.raises(JobError, match=r"exported in training mode(.|\n)*eval\(\)"):
        build_network(pinned(tmp_path / "a.pt2"))


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "weights.pt2")
    save_script(tiny(), tmp_path / "script.pt2")
    (tmp_path / "broken.pt2").write_bytes(b"PK and no more")
    with zipfile.ZipFile(tmp_path / "compiled.pt2", "w") as archive:
        archive.writestr("a/data/aotinductor/model/a.so", b"")
    for name, seen in (
        ("weights", "is a state_dict"),
        ("script", "is a TorchScript archive"),
        ("broken", "is no whole archive"),
        ("compiled", "is a network compiled for one machine"),
    ):
        with pytest.raises(JobError, match=rf"{name}\.pt2: {seen}"):
            build_network(pinned(tmp_path / f"{name}.pt2"))
