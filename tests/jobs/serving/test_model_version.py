from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from digit_images import DIGITS, encoded
from ray.exceptions import RayActorError

from actors.decoding.config import Decode
from actors.errors import ImageError
from jobs.serving.bodies import RequestError
from jobs.serving.config import Serve
from jobs.serving.deployment import FittedBatch, ModelSettings
from jobs.serving.model_version import FittedPixels, ModelVersion, fit_image

SETTINGS = ModelSettings(Decode(), DIGITS.preprocess, [])


@pytest.fixture(autouse=True)
def _in_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provides what `serve.batch` needs from its replica."""
    config = SimpleNamespace(max_ongoing_requests=1000)
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: SimpleNamespace(_deployment_config=config))


class Replicas:
    """Stand-in for a handle: ``answer`` answers each batch and receives its number, counted from 0."""

    def __init__(self, answer: Callable[[int, FittedBatch], Any]) -> None:
        self.sizes: list[int] = []
        self._answer = answer
        self.predict = self

    async def remote(self, batch: FittedBatch) -> Any:
        self.sizes.append(len(batch.sources_hw))
        await asyncio.sleep(0.01)
        return self._answer(len(self.sizes) - 1, batch)


def darkness(_: int, batch: FittedBatch) -> list[dict[str, int]]:
    return [{"sum": int(np.sum(pixels, dtype=np.int64))} for pixels in batch.pixels_nhwc]


def version(replicas: Replicas, options: Serve) -> ModelVersion:
    return ModelVersion(SETTINGS, options, replicas)  # type: ignore[arg-type]


def answered(asked: Coroutine[Any, Any, Any]) -> Any:
    """Returns the result of ``asked``. Without an event loop, the destructor of a batch queue opens its own."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            result = runner.run(asked)
        gc.collect()
    finally:
        asyncio.set_event_loop(None)
    return result


def test_images_of_concurrent_requests_are_one_batch_and_each_gets_its_own_row() -> None:
    replicas = Replicas(darkness)

    async def ask() -> list[Any]:
        one = version(replicas, Serve(batch_size=8, batch_wait_s=0.5))
        return await asyncio.gather(*(one.rows([image]) for image in encoded()[:8]))

    rows = [answer.row for (answer,) in answered(ask())]
    fitted = [fit_image(image, Decode(), DIGITS.preprocess) for image in encoded()[:8]]
    assert replicas.sizes == [8]
    assert [row["sum"] for row in rows] == [
        int(np.sum(one.image_hwc, dtype=np.int64)) for one in fitted if isinstance(one, FittedPixels)
    ]


def test_a_batch_whose_replica_died_goes_to_another_one() -> None:
    def dies_once(number: int, batch: FittedBatch) -> Any:
        if number == 0:
            raise RayActorError
        return darkness(number, batch)

    replicas = Replicas(dies_once)

    async def ask() -> Any:
        return await version(replicas, Serve()).rows(encoded()[:2])

    assert len(answered(ask())) == 2
    assert replicas.sizes == [2, 2]


def test_more_images_than_may_wait_are_refused_and_a_late_answer_is_an_error() -> None:
    async def ask() -> None:
        one = version(Replicas(darkness), Serve(batch_size=1, max_queued=1, timeout_s=0.001))
        late = asyncio.create_task(one.rows(encoded()[:3]))
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as error:
            await one.rows(encoded()[:1])
        assert error.value.status == 503
        with pytest.raises(TimeoutError):
            await late
        await one.finished()

    answered(ask())


def test_a_damaged_image_does_not_reach_the_model() -> None:
    replicas = Replicas(darkness)

    async def ask() -> Any:
        return await version(replicas, Serve()).rows([b"no image", encoded()[0]])

    bad, good = answered(ask())
    assert (bad.row["stage"], bad.batch_size, good.batch_size) == ("decode", 0, 1)
    assert replicas.sizes == [1]


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
