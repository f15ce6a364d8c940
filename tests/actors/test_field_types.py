from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.decoding.config import Decode, DecodeDevice
from actors.engines.configs import Device, OnnxEngineConfig, Precision, TorchEngineConfig
from actors.engines.tolerance import Tolerance
from actors.errors import JobError
from actors.models.spec import Model
from actors.preprocess import Interpolation, Preprocess
from actors.storage.retries import Retry
from actors.tasks.classify import Classify
from actors.tasks.embed import Embed, EmbeddingType
from actors.tasks.raw import Raw
from actors.tasks.scores import Activation

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("built", "name", "wanted"),
    [
        (Classify(activation="sigmoid"), "activation", Activation.sigmoid),
        (Classify(top_k=np.int64(3)), "top_k", 3),
        (Embed(dtype="float16"), "dtype", EmbeddingType.float16),
        (Preprocess(interpolation="bicubic"), "interpolation", Interpolation.bicubic),
        (Preprocess(mean=(0, 0, 0)), "mean", [0.0, 0.0, 0.0]),
        (TorchEngineConfig(precision="bf16"), "precision", Precision.bf16),
        (OnnxEngineConfig(device=Device.cpu), "device", Device.cpu),
        (Decode(device="cpu"), "device", DecodeDevice.cpu),
        (Retry(max_wait_s=3), "max_wait_s", 3.0),
        (Model(checkpoint=Path("a.pt")), "checkpoint", "a.pt"),
    ],
)
def test_values_get_the_type_of_their_field(built: object, name: str, wanted: object) -> None:
    given = getattr(built, name)
    assert given == wanted
    assert type(given) is type(wanted)


@pytest.mark.parametrize(
    ("build", "key", "choice"),
    [
        (lambda: Classify(activation="foo"), "task.activation='foo'", "softmax, sigmoid, none"),
        (lambda: Classify(activation=EmbeddingType.float16), "task.activation=", "sigmoid"),
        (lambda: Classify(top_k="5"), "task.top_k='5'", "a whole number"),
        (lambda: Classify(top_k=True), "task.top_k=True", "a whole number"),
        (lambda: Classify(output=3), "task.output=3", "text or None"),
        (lambda: Embed(normalize="no"), "task.normalize='no'", "True or False"),
        (lambda: Raw(name=None), "task.name=None", "text"),
        (lambda: Preprocess(interpolation="cubic"), "model.preprocess.interpolation='cubic'", "bilinear, bicubic"),
        (lambda: Preprocess(std=[1, "x", 1]), "model.preprocess.std=", "a list of numbers"),
        (lambda: Decode(max_pixels=1.5), "decode.max_pixels=1.5", "a whole number"),
        (lambda: OnnxEngineConfig(provider="gpu"), "engine.provider='gpu'", "auto, cpu, cuda, tensorrt"),
        (lambda: TorchEngineConfig(gate=False), "engine.gate=False", "stop, warn, off"),
        (lambda: Tolerance(cosine="1"), "engine.tolerance.cosine='1'", "a number"),
        (lambda: Model(preprocess={"crop": 3}), "model.preprocess=", "a Preprocess"),
        (lambda: Model(ignore="a.*"), "model.ignore='a.*'", "a list of texts"),
        (lambda: Retry(first_wait_s=-1), "retry.first_wait_s=-1.0", "0 or more"),
    ],
)
def test_a_value_of_another_type_names_field_and_choices(build: Callable[[], Any], key: str, choice: str) -> None:
    with pytest.raises(JobError) as raised:
        build()
    assert key in raised.value.problem
    assert choice in str(raised.value)


def test_options_of_a_store_are_not_shown() -> None:
    with pytest.raises(JobError, match=r"model\.storage_options: not a dictionary with texts") as raised:
        Model(storage_options={"secret_access_key": b"hunter2"})
    assert "hunter2" not in str(raised.value)
