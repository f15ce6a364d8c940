"""One version of the model as the ingress sees it: decodes images, collects them into batches, and sends the batches to
its replicas. A request keeps its version until it is answered, whatever is rolled out meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from ray import serve as ray_serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from actors.columns import ERROR, HEIGHT, MESSAGE, STAGE, WIDTH
from actors.decoding.pixel_blocks import decode_batch
from actors.errors import ImageError
from actors.reading.image_bytes import checked
from jobs.serving.bodies import RequestError
from jobs.serving.deployment import FittedBatch, ModelSettings
from jobs.serving.rows import Row, error_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray.serve.handle import DeploymentHandle

    from actors.decoding.config import Decode
    from actors.preprocess import Preprocess
    from actors.reading.image_bytes import Image
    from jobs.serving.config import Serve


class FittedPixels(NamedTuple):
    """A decoded image."""

    image_hwc: np.ndarray
    """uint8 (height, width, 3), in the size of the model's input."""
    source_hw: tuple[int, int]
    """Height and width of the upright source."""


class Answer(NamedTuple):
    """The row of an image, and the number of images in its batch; 0 if the image did not reach the model."""

    row: Row
    batch_size: int


class ModelVersion:
    """Decodes in threads, at most one image per CPU at a time. Up to two batches per replica are in flight: one is
    computed while the next waits at the replica. Images that arrive meanwhile fill the following batch.

    Args:
        settings: settings of the model.
        options: sizes, waits and limits.
        model: the replicas.
    """

    def __init__(self, settings: ModelSettings, options: Serve, model: DeploymentHandle[Any]) -> None:
        self.settings = settings
        self._num_waiting = 0  # images without an answer
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._options = options
        self._model = model
        self._most_waiting = options.max_queued + 2 * options.batch_size * options.max_replicas
        self._decoding = asyncio.Semaphore(os.cpu_count() or 1)

        @ray_serve.batch(
            max_batch_size=options.batch_size,
            batch_wait_timeout_s=options.batch_wait_s,
            max_concurrent_batches=2 * options.max_replicas,
        )
        async def predict(images: list[FittedPixels]) -> list[Answer]:
            return await self._send(images)

        self._predict = predict

    async def rows(self, images: Sequence[Image]) -> list[Answer]:
        """Returns one answer per image, in order.

        Raises:
            RequestError: 503 if too many images are waiting or no replica is left.
            TimeoutError: after `serve.timeout_s`.
        """
        if self._num_waiting + len(images) > max(self._most_waiting, len(images)):
            raise RequestError(503, "too busy: try again")
        self._num_waiting += len(images)
        self._is_idle.clear()
        try:
            async with asyncio.timeout(self._options.timeout_s):
                answers = await asyncio.gather(*(self._row(image) for image in images), return_exceptions=True)
        finally:
            self._num_waiting -= len(images)
            if not self._num_waiting:
                self._is_idle.set()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Answer)]

    async def finished(self) -> None:
        """Returns once all images are answered."""
        await self._is_idle.wait()

    async def is_ready(self) -> bool:
        try:
            return bool(await asyncio.wait_for(self._model.is_ready.remote(), _READY_S))
        except Exception:  # noqa: BLE001  not ready, for whatever reason
            return False

    async def _row(self, image: Image) -> Answer:
        async with self._decoding:
            fitted = await asyncio.to_thread(fit_image, image, self.settings.limits, self.settings.preprocess)
        return Answer(error_row(fitted), 0) if isinstance(fitted, ImageError) else await self._predict(fitted)

    async def _send(self, images: list[FittedPixels]) -> list[Answer]:
        """Sends a batch, and sends it again if its replica dies: predicting twice does no harm."""
        batch = FittedBatch(
            np.stack([image.image_hwc for image in images]), np.array([image.source_hw for image in images], np.int32)
        )
        for is_last in (False, False, True):
            try:
                rows = await self._model.predict.remote(batch)
            except (BackPressureError, DeploymentUnavailableError):
                raise RequestError(503, "too busy: try again") from None
            except RayActorError:
                if is_last:
                    raise RequestError(503, "a replica of the model ended: try again") from None
            else:
                return [Answer(row, len(images)) for row in rows]
        raise AssertionError


def fit_image(image: Image, limits: Decode, preprocess: Preprocess) -> FittedPixels | ImageError:
    """Decodes an image with the same guard and limits as in a job."""
    if isinstance(image, bytes):
        image = checked(image, limits.max_bytes)
    pixels, columns = decode_batch([image], limits, preprocess)
    stage, kind, message, height, width = (columns[name][0].as_py() for name in (STAGE, ERROR, MESSAGE, HEIGHT, WIDTH))
    if stage is not None:
        return ImageError(stage, kind, message)
    return FittedPixels(np.asarray(pixels)[0], (height, width))


_READY_S = 5.0  # a replica answers between two batches
