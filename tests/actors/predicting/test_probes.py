from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from networks import Tiny

from actors.errors import JobError
from actors.models.spec import Model
from actors.predicting.probes import noise
from actors.predictor import Predictor
from actors.preprocess import Preprocess
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw
from actors.tasks.scores import Activation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from actors.tasks.base import Task

BRIGHT = 1.5  # a normalised value; a blank image has none above 0


class Varying(Tiny):
    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels_nchw)[:, : 3 if float(pixels_nchw.amax()) > BRIGHT else 5]


class Softmax(Tiny):
    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels_nchw).softmax(1)


class Empty(Tiny):
    def forward(self, pixels_nchw: torch.Tensor) -> Any:
        scores = super().forward(pixels_nchw)
        return {"boxes": scores[:, :0].reshape(len(scores), 0, 4), "scores": scores, "loss": scores.mean()}


class Standardised(Tiny):
    """Divides by the standard deviation of each image, which is 0 for a blank image."""

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        mean, std = pixels_nchw.mean((1, 2, 3), keepdim=True), pixels_nchw.std((1, 2, 3), keepdim=True)
        return super().forward((pixels_nchw - mean) / (std * (std > 0.5)))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    module = ModuleType("odd_networks")
    for network in (Tiny, Varying, Softmax, Empty, Standardised):
        setattr(module, network.__name__, network)
    monkeypatch.setitem(sys.modules, "odd_networks", module)

    def made(name: str, *, is_diverged: bool = False) -> Model:
        torch.manual_seed(0)
        weights = Tiny(10).state_dict()
        if is_diverged:
            weights["fc.bias"][0] = torch.nan
        torch.save(weights, tmp_path / f"{name}.pt")
        preprocess = Preprocess(resize=[32, 32], crop=None)
        return Model(f"odd_networks:{name}", {"num_classes": 10}, str(tmp_path / f"{name}.pt"), preprocess=preprocess)

    return made


@pytest.mark.parametrize(
    ("name", "task", "problem"),
    [
        ("Varying", Raw(), r"output output has shape \(n, 5\) .* and \(n, 3\)"),
        ("Varying", Classify(), r"output output has shape \(n, 5\) .* and \(n, 3\)"),
        ("Softmax", Classify(), "set task.activation=none"),
        ("Empty", Raw(), r"output loss has shape \(\)"),
        ("Empty", Embed(output="loss"), r"output loss has shape \(\)"),
    ],
)
def test_a_model_that_does_not_fit_its_task_is_refused(
    model: Callable[..., Model], name: str, task: Task, problem: str
) -> None:
    with pytest.raises(JobError, match=problem):
        Predictor(model(name), task=task)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("Tiny", Classify()),
        ("Softmax", Classify(activation=Activation.none)),
        ("Softmax", Embed()),
        ("Empty", Classify(output="scores")),
        ("Empty", Classify()),
        ("Standardised", Classify()),
    ],
)
def test_what_fits_predicts(model: Callable[..., Model], name: str, task: Task) -> None:
    table = Predictor(model(name), task=task).predict(list(noise((32, 32))))
    assert table["error"].to_pylist()[1] is None


@pytest.mark.parametrize("task", [Classify(), Embed()])
def test_a_diverged_checkpoint_is_named_with_its_tensor(model: Callable[..., Model], task: Task) -> None:
    with pytest.raises(JobError, match=r"model.checkpoint=.*Tiny.pt.*: 1 of 6 tensors hold NaN, first fc.bias"):
        Predictor(model("Tiny", is_diverged=True), task=task)


def test_raw_keeps_nan_next_to_numbers(model: Callable[..., Model]) -> None:
    [row] = Predictor(model("Tiny", is_diverged=True), task=Raw()).predict([noise((32, 32))[0]]).to_pylist()
    assert np.isnan(row["output"]).tolist() == [True] + [False] * 9
