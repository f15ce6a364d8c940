from __future__ import annotations

from digit_images import DIGITS, encoded

from actors.decoding.config import Decode
from actors.errors import ImageError
from jobs.serving.deployment import FittedPixels
from jobs.serving.ingress import fit_image


def test_an_image_is_fitted_to_the_input_of_the_model() -> None:
    fitted = fit_image(encoded()[0], Decode(), DIGITS.preprocess)
    assert isinstance(fitted, FittedPixels)
    assert (fitted.image_hwc.shape, fitted.image_hwc.dtype) == ((32, 32, 3), "uint8")


def test_the_limits_of_a_job_hold() -> None:
    image = encoded()[0]
    cases = [
        (b"", Decode()),
        (b"no image", Decode()),
        (image[: len(image) // 2], Decode()),
        (image, Decode(max_bytes=10)),
        (image, Decode(max_pixels=3)),
    ]
    for data, limits in cases:
        assert isinstance(fit_image(data, limits, DIGITS.preprocess), ImageError), data[:10]


def test_an_image_that_could_not_be_fetched_keeps_its_error() -> None:
    error = fit_image(ImageError("read", "not_found", "no such file"), Decode(), DIGITS.preprocess)
    assert isinstance(error, ImageError)
    assert (error.stage, error.kind) == ("read", "not_found")
