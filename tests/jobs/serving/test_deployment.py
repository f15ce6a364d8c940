from __future__ import annotations

from digit_images import DIGITS, encoded

from actors.decoding.config import Decode
from actors.predictor import Predictor
from actors.recipe import Recipe
from jobs.serving.deployment import FittedPixels, predict_rows
from jobs.serving.ingress import fit_image


def test_rows_are_those_of_a_predictor() -> None:
    predictor, images = Predictor(Recipe(DIGITS)), encoded()[:3]
    fitted = [fit_image(image, Decode(), DIGITS.preprocess) for image in images]
    rows = predict_rows(predictor, [one for one in fitted if isinstance(one, FittedPixels)])
    expected = predictor.predict(images).select(["label_id", "score"]).to_pylist()
    assert [{"label_id": row["label_id"], "score": row["score"]} for row in rows] == expected
