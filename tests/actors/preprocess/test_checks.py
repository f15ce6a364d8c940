from __future__ import annotations

from typing import Any

import pytest

from actors.errors import JobError
from actors.preprocess import Preprocess


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(side, value) for side in ("resize", "crop") for value in ("256", 0, -1, 224.0, True, [224], [1, 2, 3])],
        *[(side, value) for side in ("resize", "crop") for value in ([0, 5], ["a", 5], {"h": 3}, 10**6)],
        *[
            (name, value)
            for name in ("mean", "std")
            for value in ([0.5], [1.0, 2.0, 3.0, 4.0], 0.5, ["a", 1, 2], [1, 2, True])
        ],
        ("mean", [0.1, float("nan"), 0.2]),
        ("std", [0.1, 0.0, 0.2]),
        ("std", [0.1, -0.2, 0.2]),
        ("std", [0.1, float("inf"), 0.2]),
        ("pad_color", [1, 2]),
        ("pad_color", [0, 0, 256]),
        ("channels", 4),
        ("rescale_factor", 0.0),
        ("rescale_factor", float("nan")),
    ],
)
def test_a_wrong_value_is_named_by_its_full_key(field: str, value: Any) -> None:
    with pytest.raises(JobError) as caught:
        Preprocess(**{field: value}).check()
    assert caught.value.problem.startswith(f"model.preprocess.{field}={value!r}: ")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"resize": None, "resize_mode": "longest_side"}, "model.preprocess.resize_mode=longest_side with model"),
        ({"resize": [9, 9], "resize_limit": 9}, "model.preprocess.resize_limit=9 with model.preprocess.resize="),
        ({"resize_limit": 300, "resize_mode": "longest_side"}, "model.preprocess.resize_limit=300 with model"),
        ({"resize_limit": 255}, "model.preprocess.resize_limit=255: not from model.preprocess.resize=256 to"),
        ({"antialias": False, "interpolation": "box"}, "model.preprocess.antialias=false with model"),
        ({"channels": 1, "channel_order": "bgr"}, "model.preprocess.channel_order=bgr with model"),
        ({"channels": 1}, r"model.preprocess.mean=\[0.485, 0.456, 0.406\]: not one number, of grey"),
        ({"channel_order": "bgr", "std": [1, 2]}, r"model.preprocess.std=\[1.0, 2.0\]: .* of blue, green and red"),
        ({"standardize": "per_image", "mean": [0, 0, 0]}, r"model.preprocess.mean=\[0.0, 0.0, 0.0\] with model"),
        ({"rescale_factor": 1}, r"model.preprocess.mean=\[0.485, .*: for pixels of 0..1, not for those of model"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError, match=f"^{problem}") as raised:
        Preprocess(**keys).check()
    assert "model.preprocess" in raised.value.fix


@pytest.mark.parametrize(
    ("mean", "std", "fix"),
    [
        (
            [123.675, 116.28, 103.53],
            [58.395, 57.12, 57.375],
            "set model.preprocess.rescale_factor=1.0, or divide by 255: write model.preprocess.mean=[0.485,0.456,",
        ),
        ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], "std=[0.00392157,0.00392157,0.00392157]"),
        ([123.675, 116.28, 103.53], [0.229, 0.224, 0.225], "std=[0.229,0.224,0.225]"),
        ([0.0, 0.0, 0.0], [255.0, 255.0, 255.0], "mean=[0,0,0] and model.preprocess.std=[1,1,1]"),
    ],
)
def test_numbers_for_pixels_of_0_to_255_are_refused(mean: list[float], std: list[float], fix: str) -> None:
    with pytest.raises(JobError, match=r"for pixels of 0\.\.255") as raised:
        Preprocess(mean=mean, std=std).check()
    assert fix in raised.value.fix


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.5), (0.4, 1 / 255), (0.0, 1 / 255), (1.0, 1.0)])
def test_numbers_for_pixels_of_0_to_1_are_taken(mean: float, std: float) -> None:
    Preprocess(mean=[mean] * 3, std=[std] * 3).check()


@pytest.mark.parametrize(
    ("factor", "mean", "std"),
    [
        (1.0, 116.0, 58.0),
        (1.0, 116.0, 1.0),
        (1.0, 0.0, 1.0),
        (1.0, 0.0, 255.0),
        (1 / 127.5, 1.0, 1.0),
        (1 / 127.5, 1.5, 0.25),
        (1 / 256, 0.5, 0.5),
    ],
)
def test_numbers_for_pixels_of_the_given_scale_are_taken(factor: float, mean: float, std: float) -> None:
    Preprocess(rescale_factor=factor, mean=[mean] * 3, std=[std] * 3).check()
