"""Scores in training equal those of the saved checkpoint, and the training is not affected."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from training import MODEL, Rows, held_out, trained

from actors.engines.configs import OnnxEngineConfig, TorchEngineConfig
from actors.errors import JobError
from actors.evaluation.accuracy import Accuracy
from actors.evaluation.calibration import Calibration
from actors.evaluation.evaluation import Evaluation
from actors.models.spec import Model
from actors.predictor import Predictor
from actors.recipe import Recipe
from actors.tasks.classify import Classify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUM_RIGHT, NUM_HELD_OUT = 592, 599


class Normalised(torch.nn.Module):
    """A network with batch statistics, dropout, and random numbers at construction."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = float(torch.rand(1)) * 0 + random.random() * 0 + float(np.random.rand()) * 0  # noqa: NPY002, S311
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 5), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5), torch.nn.AdaptiveAvgPool2d(2)
        )
        self.head = torch.nn.Linear(16, 10)

    def forward(self, pixels_nchw: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(pixels_nchw).flatten(1))
        return logits


NORMALISED = replace(MODEL, architecture=f"{__name__}:Normalised")


def step(network: torch.nn.Module) -> None:
    """Runs one training step, which changes weights and statistics and leaves gradients."""
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    optimizer.zero_grad()
    torch.autograd.backward(network(torch.randn(8, 3, 32, 32)).square().mean())
    optimizer.step()


def answers(model: Model) -> list[dict[str, object]]:
    table = Predictor(model, batch_size=32).predict([image for image, _ in held_out()[:40]])
    return table.select(["label_id", "top_scores"]).to_pylist()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda network: network,
        torch.nn.DataParallel,
        partial(torch.compile, backend="eager"),
        lambda network: torch.nn.ModuleDict({"network": network}),
    ],
    ids=["plain", "parallel", "compiled", "within"],
)
def test_the_score_is_that_of_the_saved_checkpoint(wrapped: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    evaluation = Evaluation(MODEL, held_out(), [Accuracy()])
    assert evaluation(wrapped(trained()))["accuracy"] == NUM_RIGHT / NUM_HELD_OUT


def test_answers_are_bit_for_bit_those_of_the_checkpoint_with_its_statistics(tmp_path: Path) -> None:
    network = Normalised().train()
    step(network)
    path = f"{tmp_path}/weights.pt"
    torch.save(network.state_dict(), path)
    predictor = Evaluation(NORMALISED, held_out(), [Accuracy()]).predictor(network)
    step(network)
    table = predictor.predict([image for image, _ in held_out()[:40]])
    assert table.select(["label_id", "top_scores"]).to_pylist() == answers(replace(NORMALISED, checkpoint=path))


def test_the_training_does_not_notice() -> None:
    network = Normalised().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network.body[1].eval()  # frozen statistics
    step(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    modes = [module.training for module in network.modules()]
    threads = torch.get_num_threads()

    def draw() -> list[float]:
        return [float(torch.rand(1)), random.random(), float(np.random.rand())]  # noqa: NPY002, S311

    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(5)
    wanted = draw()
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(5)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        rough = Evaluation(NORMALISED, held_out()[:40], [Accuracy()])(network)
    assert draw() == wanted
    assert rough == Evaluation(NORMALISED, held_out()[:40], [Accuracy()])(network)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.body[0].weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in network.named_parameters():
        assert value.requires_grad
        assert value.grad is not None
        assert torch.equal(value.grad, gradients[name])
    assert torch.get_num_threads() == threads
    step(network)


def blank(network: torch.nn.Module) -> torch.nn.Module:
    for value in network.parameters():
        torch.nn.init.zeros_(value)
    return network


def test_averages_take_the_place_of_the_last_weights() -> None:
    images = held_out()[:64]
    wanted = Evaluation(MODEL, images, [Calibration()])(trained())
    averaged = torch.optim.swa_utils.AveragedModel(trained())
    for ema in (averaged, trained(), dict(trained().named_parameters()), averaged.state_dict()):
        assert Evaluation(MODEL, images, [Calibration()], ema=ema)(blank(trained())) == wanted
    within = torch.nn.ModuleDict({"network": blank(trained())})
    assert Evaluation(MODEL, images, [Calibration()], ema=trained())(within) == wanted


def test_averages_of_some_weights_are_refused() -> None:
    part = {name: value for name, value in trained().state_dict().items() if name != "fc2.bias"}
    with pytest.raises(JobError, match=r"ema: lacks 1 of the 10 weights in training, such as fc2\.bias"):
        Evaluation(MODEL, held_out(), [Accuracy()], ema=part)(trained())


def test_buffers_that_averages_lack_are_those_in_training() -> None:
    network = Normalised().train()
    averages = {name: value.detach().clone() for name, value in network.named_parameters()}
    network.body[1].running_mean += 3
    predictor = Evaluation(NORMALISED, held_out(), [Accuracy()], ema=averages).predictor(network)
    assert predictor.predict([held_out()[0][0]])["message"].to_pylist() == [None]
    again = Evaluation(NORMALISED, held_out(), [Accuracy()]).predictor(network)
    images = [image for image, _ in held_out()[:4]]
    assert predictor.predict(images).equals(again.predict(images))


def test_every_counts_calls_or_steps() -> None:
    evaluation = Evaluation(MODEL, held_out()[:1], [Accuracy()], every=3)
    assert [bool(evaluation(trained())) for _ in range(6)] == [False, False, True, False, False, True]
    assert not evaluation(trained(), step=4)
    assert evaluation(trained(), step=9) == {"accuracy": 1, "top1": 100, "top1_err": 0}  # a batch of one


def test_paths_arrays_and_metrics_of_tensors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torchmetrics = pytest.importorskip("torchmetrics.classification")
    data: list[tuple[object, object]] = []
    for number, (image, label) in enumerate(held_out()[:30]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(image)
        array = np.array(Image.open(io.BytesIO(image)).convert("RGB"))
        data += [(path, label), (array, int(label)), (image, torch.tensor(int(label)))]
    data += [(str(tmp_path / "absent.png"), "3"), (b"damaged", "3"), (data[0][0], None)]
    metrics = {
        "own": Accuracy(),
        "f1": torchmetrics.MulticlassF1Score(10),
        "auroc": torchmetrics.MulticlassAUROC(10),
        "rows": Rows(),
    }
    recipe = Recipe(MODEL, TorchEngineConfig(), Classify(top_k=10))
    scores = Evaluation(recipe, data, metrics)(trained())
    assert [scores[name] for name in ("accuracy", "f1", "auroc")] == pytest.approx([1, 1, 1], abs=1e-6)
    assert "2 of 93 images have no answer" in caplog.text


def test_wrong_use_is_explained() -> None:
    cases = [
        (lambda: Evaluation(MODEL, iter(held_out()), []), "data: is a list_iterator"),
        (lambda: Evaluation(MODEL, held_out(), [], every=0), "every=0"),
        (lambda: Evaluation(Model(), held_out(), []), r"model\.architecture is not given"),
        (lambda: Evaluation(Recipe(replace(MODEL, checkpoint="a.pt"), OnnxEngineConfig()), [], []), "engine=onnx"),
        (lambda: Evaluation(MODEL, [], [])(trained()), "there are no images"),
        (lambda: Evaluation(MODEL, [(b"", "1")], [])(trained()), "none of 1 images has an answer"),
        (lambda: Evaluation(MODEL, held_out(), [])(torch.nn.Linear(1, 1)), "does not fit the network"),
    ]
    for act, message in cases:
        with pytest.raises(JobError, match=message):
            act()


def test_ignite_has_the_scores_among_its_metrics() -> None:
    ignite = pytest.importorskip("ignite.engine")
    network = trained()
    trainer = ignite.Engine(lambda _engine, _batch: None)
    evaluation = Evaluation(MODEL, held_out()[:64], [Accuracy()], every=2)
    trainer.add_event_handler(ignite.Events.EPOCH_COMPLETED, evaluation.as_ignite(network, "val_"))
    state = trainer.run([0], max_epochs=2)
    assert state.metrics["val_accuracy"] > 0.9
