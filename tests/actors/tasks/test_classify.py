from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from actors.engines.tolerance import EXACT, Tolerance
from actors.errors import JobError
from actors.preprocess import Preprocess
from actors.tasks.base import Outputs
from actors.tasks.classify import Classify
from actors.tasks.context import BatchContext
from actors.tasks.parity import Agreement
from actors.tasks.scores import Activation, best

LOGITS = np.random.default_rng(1).normal(size=(6, 20)).astype(np.float32) * 5


SCORES = Classify(activation=Activation.none)


def compare(
    reference: Any, candidate: Any, *, task: Classify = SCORES, tolerance: Tolerance | None = None
) -> Agreement:
    both = ({"output": np.asarray(scores, np.float32)} for scores in (reference, candidate))
    return task.agreement(*both, tolerance or Tolerance(output_error=1))


def predict(task: Classify, logits: np.ndarray, labels: list[str] | None = None) -> tuple[pa.Table, np.ndarray]:
    fields = task.fields(Outputs.of({"output": logits}), labels)
    columns, valid = task.columns({"output": logits}, BatchContext.of_inputs(labels, Preprocess(), len(logits)))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields)), valid


def test_scores_and_order_are_those_of_torch() -> None:
    table, valid = predict(Classify(top_k=5), LOGITS)
    scores, ids = torch.softmax(torch.from_numpy(LOGITS), 1).topk(5)
    np.testing.assert_array_equal(np.stack(table["top_label_ids"].to_pylist()), ids.numpy())
    np.testing.assert_allclose(np.stack(table["top_scores"].to_pylist()), scores.numpy(), atol=1e-6)
    np.testing.assert_allclose(table["score"].to_numpy(), scores[:, 0].numpy(), atol=1e-6)
    assert valid.all()


def test_labels_name_the_classes() -> None:
    labels = [f"class {number}" for number in range(20)]
    table, _ = predict(Classify(top_k=2), LOGITS, labels)
    for row in table.to_pylist():
        assert row["label"] == f"class {row['label_id']}"
        assert row["top_labels"] == [f"class {number}" for number in row["top_label_ids"]]


def test_without_labels_the_number_is_the_label() -> None:
    table, _ = predict(Classify(), LOGITS)
    assert table["label"].to_pylist() == [str(number) for number in table["label_id"].to_pylist()]


def test_equal_scores_give_the_lower_class_first() -> None:
    table, _ = predict(Classify(top_k=3), np.array([[1, 2, 2, 0]], np.float32))
    assert table["top_label_ids"].to_pylist() == [[1, 2, 0]]


def test_the_best_classes_are_those_of_a_full_stable_sort_with_ties_and_values_that_are_not_finite() -> None:
    random = np.random.default_rng(3)
    for _ in range(2000):
        num_images, num_classes = random.integers(0, 6), random.integers(1, 60)
        scores = random.integers(-3, 4, (num_images, num_classes)).astype(np.float32)
        for value in np.nan, np.inf, -np.inf, -0.0:
            scores[random.random(scores.shape) < random.choice([0, 0.3])] = value
        k = random.integers(1, num_classes + 1)
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(best(scores, k), expected)


def test_fewer_classes_than_top_k() -> None:
    table, _ = predict(Classify(top_k=5), np.array([[1, 2]], np.float32))
    assert table["top_label_ids"].to_pylist() == [[1, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_is_not_valid(bad: float) -> None:
    logits = LOGITS.copy()
    logits[2, 3] = bad
    _, valid = predict(Classify(), logits)
    assert valid.tolist() == [True, True, False, True, True, True]


def test_large_logits_do_not_overflow() -> None:
    table, valid = predict(Classify(), np.array([[3e38, -3e38]], np.float32))
    assert valid.all()
    assert table["score"].to_pylist() == [1.0]


def test_sigmoid_and_none() -> None:
    table, _ = predict(Classify(activation=Activation.sigmoid), np.array([[0.0, -100.0]], np.float32))
    assert table["score"].to_pylist() == [0.5]
    table, _ = predict(Classify(activation=Activation.none), np.array([[0.25, 0.75]], np.float32))
    assert table["score"].to_pylist() == [0.75]


def test_labels_of_the_wrong_number() -> None:
    with pytest.raises(JobError, match=r"3 labels.*20 classes"):
        Classify().fields(Outputs.of({"output": LOGITS}), ["a", "b", "c"])


def test_top_k_of_zero() -> None:
    with pytest.raises(JobError, match=r"task.top_k=0"):
        Classify(top_k=0).fields(Outputs.of({"output": LOGITS}), None)


def test_the_same_answers_agree_in_every_figure() -> None:
    for task in (Classify(), Classify(activation=Activation.sigmoid), SCORES):
        agreement = compare(LOGITS, LOGITS, task=task, tolerance=EXACT)
        assert agreement.breaches == []
        wanted = {"images": 6, "top1_agreement": 1}
        nought = ("score_difference", "mean_score_difference", "flips", "output_error", "class_error")
        assert agreement.figures == {**wanted, **dict.fromkeys(nought, 0)}


def test_score_differences_are_the_largest_of_all_and_the_mean_of_the_best() -> None:
    agreement = compare([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], [[0.9, 0.1], [0.4, 0.8], [0.3, 0.64]])
    assert agreement.figures["score_difference"] == pytest.approx(0.2, abs=1e-6)
    assert agreement.figures["mean_score_difference"] == pytest.approx(0.02, abs=1e-6)
    assert agreement.figures["top1_agreement"] == 1
    assert agreement.breaches == [
        "the score of class 0 of image 1 differs by 0.2 (engine.tolerance.score_difference=0.1)",
        "the scores of the best classes differ by 0.02 on average (engine.tolerance.mean_score_difference=0.01)",
    ]


def test_the_best_class_may_differ_at_a_near_tie_alone() -> None:
    reference = [[0.50, 0.46, 0.0], [0.1, 0.1, 0.8], [0.48, 0.52, 0.0]]
    flipped = [[0.46, 0.50, 0.0], [0.1, 0.1, 0.8], [0.52, 0.48, 0.0]]
    lenient = Tolerance(output_error=1, mean_score_difference=1, flip_ratio=0.5)
    agreement = compare(reference, flipped, tolerance=lenient)
    assert agreement.breaches == []
    assert agreement.figures["flips"] == 2
    assert agreement.figures["top1_agreement"] == pytest.approx(1 / 3)
    assert agreement.figures["largest_flip_margin"] == pytest.approx(0.04, abs=1e-6)
    assert compare(reference, flipped, tolerance=replace(lenient, flip_ratio=0.01)).breaches == [
        "the best class of 2 of 3 images differs (engine.tolerance.flip_ratio=0.01)"
    ]
    assert compare(reference, flipped, tolerance=replace(lenient, tie_margin=0.02)).breaches == [
        "the best class of image 0 differs, where the reference leads by 0.04 (engine.tolerance.tie_margin=0.02)"
    ]


def test_one_image_may_always_flip_at_a_near_tie() -> None:
    reference = np.tile([0.9, 0.1], (50, 1))
    reference[7] = [0.51, 0.49]
    candidate = reference.copy()
    candidate[7] = [0.49, 0.51]
    assert compare(reference, candidate).breaches == []


def test_the_worst_flip_is_named_with_its_position_in_the_sample() -> None:
    reference, candidate = np.tile([0.9, 0.1], (20, 1)), np.tile([0.9, 0.1], (20, 1))
    reference[3] = candidate[3] = np.nan  # not compared; must not shift the positions of later images
    reference[17], candidate[17] = [0.705, 0.295], [0.295, 0.705]
    reference[11], candidate[11] = [0.6, 0.4], [0.4, 0.6]
    agreement = compare(reference, candidate)
    assert agreement.figures["images"] == 19
    assert agreement.figures["largest_flip_margin"] == pytest.approx(0.41, abs=1e-6)
    said = "the best class of image 17 differs, where the reference leads by 0.41 (engine.tolerance.tie_margin=0.1)"
    assert said in agreement.breaches
    assert any("of image 17 differs by 0.41" in breach for breach in agreement.breaches)


def test_equal_scores_are_no_flip() -> None:
    reference = np.array([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8]])
    assert compare(reference, reference).figures["flips"] == 0
    agreement = compare(reference, [[0.5, 0.5001, 0.0], [0.0, 0.2, 0.8]])
    assert agreement.figures["largest_flip_margin"] == 0
    assert agreement.breaches == []


def test_errors_count_against_the_spread_between_images() -> None:
    apart = np.random.default_rng(4).normal(size=(50, 30))
    shared = 100 * np.random.default_rng(5).normal(size=30)  # any error is small in comparison
    noise = np.random.default_rng(6).normal(size=(50, 30))
    for activation in Activation:
        task = Classify(activation=activation)
        figures = compare(apart + shared, apart + shared + 0.05 * noise, task=task).figures
        assert 0.05 < figures["output_error"] < 0.10  # the error of the worst image
        assert 0.05 < figures["class_error"] < 0.10
        assert compare(shared + apart, shared - apart, task=task).figures["output_error"] > 2


def test_one_wrong_class_of_many_is_seen() -> None:
    reference = np.random.default_rng(7).normal(size=(40, 500))
    candidate = reference.copy()
    candidate[:, 123] += 0.5
    agreement = compare(reference, candidate, task=Classify(), tolerance=Tolerance())
    assert agreement.figures["output_error"] < 0.03
    assert agreement.figures["class_error"] == pytest.approx(0.5, rel=0.05)
    (breach,) = agreement.breaches
    assert breach.startswith("the output for class 123 is off by 0.5")


def test_one_wrong_image_of_many_is_seen() -> None:
    reference = np.random.default_rng(7).normal(size=(500, 5)) * 1e-3
    candidate = reference.copy()
    candidate[321] = 0
    agreement = compare(reference, candidate, task=Classify(), tolerance=Tolerance(flip_ratio=1))
    (breach,) = agreement.breaches
    assert breach.startswith("the output for image 321 is off by ")
    assert breach.endswith(" of the spread between images (engine.tolerance.output_error=0.15)")


def test_what_is_added_to_all_classes_changes_no_softmax() -> None:
    shift = np.linspace(-50, 50, len(LOGITS))[:, None]
    assert not compare(LOGITS, LOGITS + shift, task=Classify(), tolerance=EXACT).breaches
    assert compare(LOGITS, LOGITS + shift, task=Classify(activation=Activation.sigmoid)).breaches


def test_classes_that_the_network_masks_are_no_error() -> None:
    masked = LOGITS.copy()
    masked[:, 4] = -np.inf
    assert compare(masked, masked, task=Classify(), tolerance=EXACT).figures["images"] == 6
    assert compare(masked, masked, task=Classify(), tolerance=EXACT).breaches == []
    assert compare(LOGITS, masked, task=Classify(), tolerance=Tolerance(score_difference=1)).breaches
    every = np.where(np.eye(6, 20) > 0, -np.inf, LOGITS)  # a different one in each image
    assert compare(every, every, task=Classify(), tolerance=EXACT).breaches == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_only_one_can_do_is_a_breach(bad: float) -> None:
    broken = LOGITS.copy()
    broken[2, 3] = bad
    agreement = compare(LOGITS, broken, task=Classify())
    assert agreement.figures["images"] == 5
    assert agreement.breaches == ["output output has values that are not finite for image 2, unlike the reference's"]
    assert compare(broken, LOGITS, task=Classify()).breaches
    assert not compare(broken, broken, task=Classify()).breaches
    assert compare(np.full((3, 4), bad), np.full((3, 4), bad)).breaches


def test_no_images_and_one_image_and_one_class() -> None:
    assert compare(np.zeros((0, 4)), np.zeros((0, 4))).breaches
    assert not compare(LOGITS[:1], LOGITS[:1] * (1 + 1e-6), task=Classify(), tolerance=EXACT).breaches
    assert compare(LOGITS[:1], LOGITS[1:2], task=Classify()).breaches
    for activation in Activation:
        assert not compare(
            [[3.0], [5.0]], [[3.0], [5.0]], task=Classify(activation=activation), tolerance=EXACT
        ).breaches


def test_figures_are_finite_however_large_the_scores() -> None:
    agreement = compare([[3e38, -3e38], [1, 2]], [[-3e38, 3e38], [1, 2]])
    assert agreement.breaches
    assert np.isfinite(list(agreement.figures.values())).all()


def test_only_the_output_that_is_used_is_compared() -> None:
    reference = {"logits": LOGITS, "features": LOGITS[:, :7]}
    candidate = {"logits": LOGITS, "features": -LOGITS[:, :7]}
    assert not Classify(output="logits").agreement(reference, candidate, EXACT).breaches
    assert Classify(output="features").agreement(reference, candidate, EXACT).breaches
    missing = Classify(output="logits").agreement(reference, {"features": LOGITS}, Tolerance())
    assert missing.breaches == ["output logits is missing"]


def test_the_softmax_of_one_logit_is_refused_and_its_sigmoid_is_a_probability() -> None:
    logits = np.array([[-2.0], [3.0]], np.float32)
    with pytest.raises(JobError, match=r"always 1\n  fix: set task.activation=sigmoid"):
        predict(Classify(), logits)
    table, _ = predict(Classify(activation=Activation.sigmoid), logits)
    np.testing.assert_allclose(table["score"].to_numpy(), 1 / (1 + np.exp(-logits[:, 0])), rtol=1e-6)


PROBABILITIES = torch.softmax(torch.from_numpy(LOGITS), 1).numpy()


@pytest.mark.parametrize("activation", [Activation.softmax, Activation.sigmoid])
def test_probabilities_get_no_second_activation(activation: Activation) -> None:
    for tensor in (PROBABILITIES, PROBABILITIES[:, :, None, None], np.eye(6, dtype=np.float32)):
        with pytest.raises(JobError, match=r"task.activation=none"):
            Classify(activation=activation).check({"y": tensor})
        Classify(activation=Activation.none).check({"y": tensor})


@pytest.mark.parametrize(
    ("values", "is_told"),
    [(1 / (1 + np.exp(-LOGITS)), True), (LOGITS, False), (np.log(PROBABILITIES), False), (np.zeros((2, 3)), False)],
)
def test_what_may_be_the_outcome_of_a_sigmoid_is_a_warning(
    values: np.ndarray, *, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "shardlens"):
        Classify().check({"y": values})
    assert ("set task.activation=none" in caplog.text) is is_told


def test_all_classes_from_the_threshold_on_are_labels_best_first() -> None:
    scores = np.array([[0.2, 0.9, 0.5, 0.9], [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], np.float32)
    task = Classify(activation=Activation.none, threshold=0.5)
    table, valid = predict(task, scores, ["a", "b", "c", "d"])
    assert table["label_ids"].to_pylist() == [[1, 3, 2], [], [3, 2, 1, 0]]
    assert table["labels"].to_pylist() == [["b", "d", "c"], [], ["d", "c", "b", "a"]]
    np.testing.assert_allclose(table["scores"].to_pylist()[2], [0.8, 0.7, 0.6, 0.5])
    assert table["label"].to_pylist() == ["b", "d", "d"]
    assert valid.all()
    counts = task.counts(table.append_column("_target", pa.array(["b", "b", "b"])))
    scores = {"score_histogram/0.40": 1, "score_histogram/0.80": 1, "score_histogram/0.90": 1}
    assert counts == {"labels/a": 1, "labels/b": 2, "labels/c": 2, "labels/d": 2, **scores}
    assert task.summary(counts) == [("labels", "b 2, c 2, d 2, a 1")]
    assert Classify().summary(counts) == []


def test_a_threshold_needs_independent_classes() -> None:
    with pytest.raises(JobError, match="exactly one label is right"):
        Classify(threshold=0.5).fields(Outputs.of({"output": LOGITS}), None)
    with pytest.raises(JobError, match="between 0 and 1"):
        Classify(threshold=1.5, activation=Activation.sigmoid).fields(Outputs.of({"output": LOGITS}), None)


def test_rows_of_versions_without_a_threshold_stay_current() -> None:
    assert Classify().identity() == {
        "name": "classify",
        "top_k": 5,
        "activation": Activation.softmax,
        "output": None,
    }
    assert Classify(threshold=0.5).identity()["threshold"] == 0.5
