from __future__ import annotations

import asyncio

import numpy as np
from digit_images import DIGITS, digit_pixels, encoded

from actors.predictor import Predictor
from actors.recipe import Recipe
from jobs.serving.deployment import FittedBatch, ModelReplica


def test_rows_are_those_of_a_predictor() -> None:
    batch = FittedBatch(digit_pixels(3), np.full((3, 2), 8, np.int32))
    rows = asyncio.run(ModelReplica(Recipe(DIGITS)).predict(batch))
    expected = Predictor(Recipe(DIGITS)).predict(encoded()[:3]).select(["label_id", "score"]).to_pylist()
    assert [{"label_id": row["label_id"], "score": row["score"]} for row in rows] == expected


def test_a_replica_knows_how_images_are_made_fit_for_it() -> None:
    settings = asyncio.run(ModelReplica(Recipe(DIGITS)).settings())
    assert settings.preprocess == DIGITS.preprocess
    assert [field.name for field in settings.fields][:2] == ["label_id", "label"]
