"""Detection and handling of models whose answer for an image depends on the rest of its batch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from networks import Tiny
from onnx_models import SIDE, images
from programs import PREPROCESS, save_first, save_ir, save_pt2, save_script

from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, OpenVinoEngineConfig, Precision, TorchEngineConfig
from actors.errors import JobError
from actors.models.spec import Model
from actors.predicting.independence import ONE_BY_ONE, OneByOne, independent, mixing
from actors.predicting.probes import noise
from actors.predictor import Predictor
from actors.tasks.raw import Raw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.engines.configs import EngineConfig

ENGINES: tuple[EngineConfig, ...] = (
    OnnxEngineConfig(device=Device.cpu, threads=1),
    OpenVinoEngineConfig(threads=1),
)


class First(Tiny):
    """Returns the answer of the first image for every image."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels_nchw)[:1].expand(len(pixels_nchw), -1)


class Scaled(Tiny):
    """Rounds all images of a batch with one scale, as dynamic quantisation does."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        scale = pixels_nchw.abs().amax() / 7
        return super().forward((pixels_nchw / scale).round() * scale)


class Normalising(Tiny):
    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.nn.functional.batch_norm(pixels_nchw, None, None, training=True))


class Best(First):
    """Returns the same answer, only as integers."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return (1e4 * super().forward(pixels_nchw)).long()


class Random(Tiny):
    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().forward(pixels_nchw), training=True)


class Swapping(Tiny):
    """Returns pairs of numbers for each image; in a larger batch, two pairs swap, as rounding may cause."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        pairs = super().forward(pixels_nchw).unflatten(1, (5, 2))
        return pairs if len(pairs) == 1 else pairs[:, [0, 2, 1, 3, 4]]


class Dropping(Tiny):
    """Drops the image axis for a single image."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels_nchw).squeeze()


class DroppingFirst(First):
    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels_nchw).squeeze()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Tiny]], Model]:
    module = ModuleType("mixing_networks")
    monkeypatch.setitem(sys.modules, "mixing_networks", module)

    def made(kind: type[Tiny]) -> Model:
        torch.manual_seed(0)
        setattr(module, kind.__name__, kind)
        torch.save(kind(10).state_dict(), tmp_path / "a.pt")
        checkpoint = str(tmp_path / "a.pt")
        return Model(f"mixing_networks:{kind.__name__}", {"num_classes": 10}, checkpoint, preprocess=PREPROCESS)

    return made


def reason(model: Model, config: EngineConfig | None = None) -> str:
    engine = load_engine(config or TorchEngineConfig(device=Device.cpu, threads=1), model)
    return mixing(engine, engine(noise((SIDE, SIDE))), (SIDE, SIDE), where=model.where)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (Tiny, ""),
        (Dropping, ""),
        (Swapping, ""),
        (First, "at another place of a batch"),
        (Best, "at another place of a batch"),
        (Scaled, "alone and beside another image"),
        (Normalising, "alone and beside another image"),
    ],
)
def test_what_depends_on_the_batch_is_found(model: Callable[..., Model], kind: type[Tiny], seen: str) -> None:
    found = reason(model(kind))
    assert found == (f"the model gives a different answer for the same image {seen}" if seen else "")


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16])
def test_rounding_is_no_reason(model: Callable[..., Model], precision: Precision) -> None:
    assert reason(model(Tiny), TorchEngineConfig(precision=precision, threads=1)) == ""


@pytest.mark.parametrize(
    ("kind", "said"), [(Random, "different answer for the same image each time"), (DroppingFirst, "on a single image")]
)
def test_what_running_alone_does_not_help_is_refused(model: Callable[..., Model], kind: type[Tiny], said: str) -> None:
    with pytest.raises(JobError, match=rf"model\.checkpoint=.*a\.pt: gives a different answer.*{said}|{said}"):
        Predictor(model(kind), engine=TorchEngineConfig(threads=1), task=Raw())


@pytest.mark.parametrize("kind", [First, Scaled])
def test_each_image_gets_its_own_answer(model: Callable[..., Model], kind: type[Tiny]) -> None:
    predictor = Predictor(model(kind), engine=TorchEngineConfig(threads=1), task=Raw())
    assert predictor.engine.details[ONE_BY_ONE].startswith("the model gives a different answer")
    together = predictor.predict(list(images(5)))["output"].to_pylist()
    alone = [predictor.predict([image])["output"].to_pylist()[0] for image in images(5)]
    assert together == alone
    assert len({tuple(answer) for answer in together}) == 5


@pytest.mark.parametrize("config", ENGINES)
def test_a_file_that_was_exported_for_one_image_is_run_one_by_one(tmp_path: Path, config: EngineConfig) -> None:
    model = save_first(tmp_path / "first.onnx")
    predictor = Predictor(
        model, engine=config, task=Raw()
    )  # `predict` also compares with the reference, which must be correct
    found = np.array(predictor.predict(list(images(4)))["out"].to_pylist())
    mean, std = np.array(PREPROCESS.mean), np.array(PREPROCESS.std)
    np.testing.assert_allclose(found, (images(4).mean((1, 2)) / 255 - mean) / std, atol=1e-4)


def test_whole_models_are_tried_as_well(tmp_path: Path) -> None:
    assert reason(save_pt2(Scaled(10), tmp_path / "a.pt2"))
    assert reason(save_script(Scaled(10), tmp_path / "a.ts"))
    assert not reason(save_ir(Tiny(10), tmp_path / "a.xml"), OpenVinoEngineConfig(threads=1))


def test_a_known_reason_saves_the_trial(model: Callable[..., Model]) -> None:
    tiny = model(Tiny)
    engine = load_engine(TorchEngineConfig(threads=1), tiny)
    assert independent(engine, "") is engine
    assert isinstance(independent(engine, "known"), OneByOne)
