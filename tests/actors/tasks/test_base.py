from __future__ import annotations

import numpy as np
import pytest

from actors.errors import JobError
from actors.tasks.base import Outputs, pick_output, vectors
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed
from actors.tasks.raw import Raw

OUTPUTS = Outputs.of({"logits": np.zeros((1, 10)), "features": np.zeros((1, 64)), "map": np.zeros((1, 8, 7, 7))})


def test_the_only_fitting_output_is_taken() -> None:
    assert pick_output(Outputs.of({"x": np.zeros((1, 10)), "map": np.zeros((1, 8, 7, 7))}), None, task="embed") == "x"


def test_the_named_output_is_taken() -> None:
    assert pick_output(OUTPUTS, "features", task="embed") == "features"


@pytest.mark.parametrize("shape", [(10, 1, 1), (1, 1, 10), (10, 1), (1, 1, 1)])
def test_axes_of_length_1_are_as_not_there(shape: tuple[int, ...]) -> None:
    tensors = {"y": np.ones((2, *shape)), "map": np.ones((2, 8, 7, 7))}
    assert pick_output(Outputs.of(tensors), None, task="classify") == "y"
    assert vectors(tensors["y"]).shape == (2, max(shape))
    flat = tensors | {"flat": np.ones((2, 3))}
    assert pick_output(Outputs.of(flat), None, task="classify") == "flat"
    assert pick_output(Outputs.of(flat), "y", task="classify") == "y"


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (np.zeros((2, 0)), r"output y has shape \(n, 0\): it holds no values"),
        (np.zeros((2, 3), np.complex64), "output y is complex numbers"),
        (np.array([["a"], ["b"]]), "output y is text"),
    ],
)
def test_an_output_without_numbers_is_refused_by_name(tensor: np.ndarray, problem: str) -> None:
    outputs = Outputs.of({"y": tensor})
    for task in (Classify(), Embed(), Raw()):
        with pytest.raises(JobError, match=problem):
            task.fields(outputs, None)
    others = Outputs.of({"y": tensor, "z": np.ones((2, 3))})
    assert Classify(output="z").fields(others, None)


def test_what_does_not_count_images_matters_only_where_it_is_wanted() -> None:
    outputs = Outputs.of({"y": np.ones((2, 3))}, {"loss": ()})
    assert Classify().output_names(outputs) == Embed(output="y").output_names(outputs) == ["y"]
    for task in (Raw(), Classify(output="loss"), Embed(output="loss")):
        with pytest.raises(JobError, match=r"output loss has shape \(\)"):
            task.fields(outputs, None)


@pytest.mark.parametrize("wanted", [None, "map", "nope"])
def test_a_doubtful_output_is_an_error_that_shows_the_choice(wanted: str | None) -> None:
    with pytest.raises(JobError, match=r"logits \(n, 10\), features \(n, 64\), map \(n, 8, 7, 7\)"):
        pick_output(OUTPUTS, wanted, task="embed")
