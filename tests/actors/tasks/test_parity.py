from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from disturbances import disturb, roll_classes
from networks import resnet18, tiny
from onnx_models import SIDE, save_onnx
from photos import NUM_CLASSES, photo
from torch import nn

from actors.engines.base import load_engine
from actors.engines.configs import Device, OnnxEngineConfig, Precision, TorchEngineConfig
from actors.engines.tolerance import EXACT, Tolerance
from actors.models.spec import Model
from actors.preprocess import Preprocess, fit
from actors.tasks.base import Task
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed
from actors.tasks.parity import Agreement, Comparison, differences, lengths, ratios, spread
from actors.tasks.raw import Raw

NUM_IMAGES = 24
PREPROCESS = Preprocess(resize=64, crop=64)
MEAN, STD = PREPROCESS.mean, PREPROCESS.std
Answers = dict[str, np.ndarray]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pixels_of(numbers: Sequence[int]) -> np.ndarray:
    photos = [np.asarray(photo(number, width=96, height=72)) for number in numbers]
    return np.stack([fit(image_hwc, PREPROCESS) for image_hwc in photos])


def answers(
    network: nn.Module,
    pixels_nhwc: np.ndarray,
    *,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    dtype: torch.dtype = torch.float32,
) -> Answers:
    """Returns the outputs of a network and the input features of its last layer."""
    normalised = (pixels_nhwc / 255 - np.asarray(mean)) / np.asarray(std)
    pixels_nchw = torch.from_numpy(normalised.transpose(0, 3, 1, 2).astype(np.float32)).to(dtype)
    network = copy.deepcopy(network).to(dtype).eval()
    head, network.fc = network.get_submodule("fc"), nn.Identity()
    with torch.inference_mode():
        features = network(pixels_nchw.contiguous(memory_format=torch.channels_last))
        return {"logits": head(features).float().numpy(), "features": features.float().numpy()}


def fit_head(network: nn.Module, pixels_nhwc: np.ndarray, label_ids: np.ndarray) -> None:
    """Fits the last layer to the labels by ridge regression."""
    features = answers(network, pixels_nhwc)["features"].astype(np.float64)
    centre, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs = (features - centre) / scale
    wanted = 10.0 * np.eye(NUM_CLASSES)[label_ids]
    solved = np.linalg.solve(inputs.T @ inputs + 30 * np.eye(inputs.shape[1]), inputs.T @ (wanted - wanted.mean(0)))
    weight = solved.T / scale
    with torch.no_grad():
        network.get_parameter("fc.weight").copy_(torch.from_numpy(weight))
        network.get_parameter("fc.bias").copy_(torch.from_numpy(wanted.mean(0) - weight @ centre))


class Given(NamedTuple):
    """A network, pixels of some images, and its answers in fp32 and bf16."""

    network: nn.Module
    pixels_nhwc: np.ndarray
    reference: Answers
    by_bf16: Answers

    @classmethod
    def of(cls, network: nn.Module, pixels_nhwc: np.ndarray) -> Given:
        by_bf16 = answers(network, pixels_nhwc, dtype=torch.bfloat16)
        return cls(network, pixels_nhwc, answers(network, pixels_nhwc), by_bf16)


@pytest.fixture(scope="module")
def pixels_nhwc() -> np.ndarray:
    return pixels_of(range(NUM_IMAGES))


@pytest.fixture(scope="module")
def fitted(pixels_nhwc: np.ndarray) -> Given:
    """Returns a network that separates ten classes."""
    torch.manual_seed(0)
    network = resnet18(NUM_CLASSES)
    numbers = np.arange(1000, 1100)
    fit_head(network, pixels_of(numbers), numbers % NUM_CLASSES)
    given = Given.of(network, pixels_nhwc)
    assert (given.reference["logits"].argmax(axis=1) == np.arange(NUM_IMAGES) % NUM_CLASSES).mean() > 0.9
    return given


@pytest.fixture(scope="module")
def flat(pixels_nhwc: np.ndarray) -> Given:
    """Returns a network with random weights and a thousand classes, all with scores of about 0.001."""
    torch.manual_seed(0)
    return Given.of(resnet18(1000), pixels_nhwc)


def shift_bias(network: nn.Module) -> None:
    network.get_parameter("fc.bias")[3] += 2


def widen_eps(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.1


EDITS: dict[str, Callable[[nn.Module], None]] = {
    "first layer disturbed": disturb("conv1.weight", 0.1),
    "inner layer disturbed": disturb("layer3.0.conv2.weight", 0.3),
    "last layer disturbed": disturb("fc.weight", 0.2),
    "classes in another order": roll_classes("fc"),
    "bias of one class": shift_bias,
    "another eps": widen_eps,
}
PIXELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blue first": lambda pixels: pixels[..., ::-1],
    "mirrored": lambda pixels: pixels[:, :, ::-1],
}
NORMALISATIONS = {
    "mean and std swapped": (STD, MEAN),
    "other mean and std": ([0.5] * 3, [0.5] * 3),
    "not normalised": ([0] * 3, [1] * 3),
}
BROKEN = [*EDITS, *PIXELS, *NORMALISATIONS]
ONLY_IN_HEAD = {"last layer disturbed", "classes in another order", "bias of one class"}


def broken_answers(given: Given, kind: str) -> Answers:
    network = copy.deepcopy(given.network)
    with torch.no_grad():
        EDITS.get(kind, lambda _: None)(network)
    mean, std = NORMALISATIONS.get(kind, (MEAN, STD))
    return answers(network, PIXELS.get(kind, lambda pixels: pixels)(given.pixels_nhwc).copy(), mean=mean, std=std)


TASKS: dict[str, Task] = {"classify": Classify(output="logits"), "embed": Embed(output="features"), "raw": Raw()}


@pytest.mark.parametrize("task", TASKS)
def test_sound_bf16_passes_with_room_and_never_as_exact(fitted: Given, task: str) -> None:
    agreement = TASKS[task].agreement(fitted.reference, fitted.by_bf16, Tolerance())
    assert agreement.breaches == []
    assert agreement.figures["output_error"] < Tolerance().output_error / 2
    assert TASKS[task].agreement(fitted.reference, fitted.by_bf16, EXACT).breaches


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_network_is_stopped(fitted: Given, kind: str) -> None:
    candidate = broken_answers(fitted, kind)
    assert TASKS["classify"].agreement(fitted.reference, candidate, Tolerance()).breaches
    assert TASKS["raw"].agreement(fitted.reference, candidate, Tolerance()).breaches
    is_same = kind in ONLY_IN_HEAD  # the features do not depend on the head
    assert bool(TASKS["embed"].agreement(fitted.reference, candidate, Tolerance()).breaches) is not is_same


@pytest.mark.parametrize("kind", BROKEN)
def test_flat_scores_do_not_hide_a_broken_network(flat: Given, kind: str) -> None:
    agreement = TASKS["classify"].agreement(flat.reference, broken_answers(flat, kind), Tolerance())
    assert agreement.figures["score_difference"] < 0.01  # a tenth of the limit
    assert [breach for breach in agreement.breaches if "output_error" in breach]


def test_flat_scores_have_room_for_bf16(flat: Given) -> None:
    agreement = TASKS["classify"].agreement(flat.reference, flat.by_bf16, replace(Tolerance(), flip_ratio=1))
    assert agreement.breaches == []
    assert agreement.figures["class_error"] < Tolerance().output_error / 2
    assert TASKS["classify"].agreement(flat.reference, flat.by_bf16, EXACT).breaches


@pytest.mark.parametrize("task", [Classify(), Embed(), Raw()])
def test_another_engine_in_fp32_is_exact(tmp_path: Path, task: Task) -> None:
    torch.manual_seed(0)
    torch.save(tiny().state_dict(), tmp_path / "tiny.pt")
    torch.manual_seed(0)
    save_onnx(tiny(), tmp_path / "tiny.onnx")
    geometry = Preprocess(resize=SIDE, crop=SIDE)
    state_dict = Model("networks:tiny", checkpoint=str(tmp_path / "tiny.pt"), preprocess=geometry)
    onnx_file = Model(checkpoint=str(tmp_path / "tiny.onnx"), preprocess=geometry)
    pixels_nhwc = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    by_torch = load_engine(TorchEngineConfig(device=Device.cpu, threads=1), state_dict)(pixels_nhwc)
    by_onnx = load_engine(OnnxEngineConfig(device=Device.cpu, threads=1), onnx_file)(pixels_nhwc)
    by_half = load_engine(TorchEngineConfig(device=Device.cpu, precision=Precision.bf16), state_dict)(pixels_nhwc)
    assert task.agreement(by_torch, {"output": by_onnx["logits"]}, EXACT).breaches == []
    assert task.agreement(by_torch, by_half, EXACT).breaches


def test_an_agreement_holds_without_breaches_and_goes_into_json() -> None:
    agreement = Raw().agreement({"x": np.zeros((2, 3), np.float32)}, {"x": np.ones((2, 3), np.float32)}, Tolerance())
    assert agreement.breaches
    assert json.loads(json.dumps(vars(agreement), allow_nan=False)) == vars(agreement)
    assert not Agreement({"cosine": 1.0}).breaches


def test_outputs_that_cannot_be_compared_are_breaches() -> None:
    comparison = Comparison(Tolerance())
    reference = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.int64), "c": np.zeros(2)}
    candidate = {"a": np.zeros((2, 4), np.float32), "b": np.zeros(2, np.float32), "more": np.zeros(2)}
    assert comparison.has_outputs(reference, reference, reference)
    assert comparison.has_outputs(reference, candidate, [])
    assert not comparison.has_outputs(reference, candidate, reference)
    assert comparison.result.breaches == [
        "output a has shape (2, 4), where the reference's has (2, 3)",
        "output b is float32, where the reference's is int64",
        "output c is missing",
    ]


def test_images_with_one_answer_are_breaches_and_those_with_none_are_omitted() -> None:
    comparison = Comparison(Tolerance())
    reference, candidate = np.array([1, 1, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0, 1], bool)
    assert comparison.finite("x", reference, candidate).tolist() == [0, 3]
    assert comparison.result.figures == {"images": 2}
    assert comparison.result.breaches == [
        "output x has values that are not finite for image 1 and 1 others, unlike the reference's",
        "output x has finite values for image 5, unlike the reference's",
    ]


@pytest.mark.parametrize("num_images", [0, 3])
def test_without_an_image_there_is_nothing_to_compare(num_images: int) -> None:
    comparison = Comparison(Tolerance())
    none = np.zeros(num_images, bool)
    assert len(comparison.finite("x", none, none)) == 0
    (breach,) = comparison.result.breaches
    assert "nothing to compare" in breach


def test_limits_may_be_reached_and_not_passed() -> None:
    comparison = Comparison(Tolerance(score_difference=0.25, cosine=0.75, flip_ratio=0.07, tie_margin=0.5))
    comparison.at_most("score_difference", 0.25, "no")
    comparison.at_least("cosine", 0.75, "no")
    comparison.flips("top1_agreement", 7, 100, "no")
    comparison.flips("top1_agreement", 1, 3, "no")
    assert not comparison.result.breaches
    comparison.at_most("score_difference", 0.26, "too far")
    comparison.at_most("margin", 0.6, "no tie", limit="tie_margin")
    comparison.at_least("cosine", 0.74, "too wide")
    comparison.flips("top1_agreement", 8, 100, "too many")
    assert comparison.result.breaches == [
        "too far (engine.tolerance.score_difference=0.25)",
        "no tie (engine.tolerance.tie_margin=0.5)",
        "too wide (engine.tolerance.cosine=0.75)",
        "too many (engine.tolerance.flip_ratio=0.07)",
    ]
    worst = {"score_difference": 0.26, "margin": 0.6, "cosine": 0.74, "top1_agreement": pytest.approx(2 / 3)}
    assert comparison.result.figures == worst


def test_a_figure_that_is_nan_is_a_breach() -> None:
    comparison = Comparison(Tolerance())
    comparison.at_most("score_difference", float("nan"), "no number")
    assert comparison.result.breaches


def test_lengths_are_those_of_each_image() -> None:
    first, second = np.array([[[3, 0], [0, 4]], [[0, 0], [0, 1]]], np.float32), np.zeros((2, 2, 2), np.float32)
    assert lengths(first).tolist() == differences(first, second).tolist() == [5, 1]
    assert differences(np.array([2.5, 1]), np.array([1, 1])).tolist() == [1.5, 0]
    assert np.isfinite(differences(np.array([[3e38]], np.float32), np.array([[-3e38]], np.float32))).all()


def test_a_spread_does_not_see_what_all_images_share() -> None:
    apart = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    assert spread(apart) == pytest.approx(np.sqrt(4 / 3))
    assert spread(apart + 5) == pytest.approx(np.sqrt(4 / 3))


def test_copies_of_one_image_are_held_against_their_own_length() -> None:
    answer = np.array([[30, 40]], np.float32)
    assert spread(answer) == spread(np.repeat(answer, 3, axis=0)) == 50
    assert spread(np.zeros((3, 2), np.float32)) == 0


def test_images_that_hardly_differ_leave_room_for_rounding() -> None:
    nearly = np.array([[30, 40], [30, 40.01]], np.float32)
    assert spread(nearly) == pytest.approx(50 * 5e-3, rel=1e-3)
    assert not Raw().agreement({"x": nearly}, {"x": nearly * np.float32(1 + 1e-6)}, EXACT).breaches
    assert Raw().agreement({"x": nearly}, {"x": nearly[::-1] + np.float32(0.05)}, Tolerance()).breaches


def test_no_error_over_nothing_is_none() -> None:
    assert ratios(np.array([0.0]), 0).tolist() == [0]
    assert 1e9 < ratios(np.array([1.0]), 0)[0] < np.inf
