"""Decodes, resizes and crops JPEGs on a GPU, with nvImageCodec and PyTorch. Loaded once in a worker that reads and
predicts.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
import torch

from actors.decoding import jpeg_header
from actors.decoding.config import FittedImage
from actors.decoding.gpu_eligibility import PlainJpeg, chunks, find_plain
from actors.device_errors import DeviceMemoryError, device_errors
from actors.engines.base import default_threads
from actors.errors import JobError
from actors.messages import one_line
from actors.preprocess import Axis, Interpolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actors.decoding.config import Decode
    from actors.preprocess import Preprocess

LOG = logging.getLogger("shardlens")


class GpuDecoder:
    """Decodes batches on a GPU; see `actors.decoding.config.BatchDecoder`.

    Decodes the images that `gpu_eligibility.find_plain` selects; nvImageCodec sees no other bytes. Orientation, sizes
    and crop are those of `decode` and `actors.preprocess.fit`. Each image is decoded at full size, regardless of
    ``limits.scaled``, and resized in float32: pixels are within 2 grey levels of the CPU's full-size decode, apart from
    the rounding of the GPU's decoder. A file that is complete but damaged inside may show different damage.

    Args:
        limits: ``max_bytes`` and ``max_pixels`` apply.
        preprocess: a checked config.
        device: ``cuda``, or ``cpu`` for nvImageCodec's own CPU decoders, which stand in for a GPU in tests.

    Raises:
        JobError: the device, nvImageCodec, or a library that it needs to decode JPEGs there is missing, or PyTorch has
            not the interpolation.
        DeviceError: the device is lost, or has no memory left.
    """

    def __init__(self, limits: Decode, preprocess: Preprocess, *, device: str = "cuda") -> None:
        if preprocess.interpolation not in _RESIZES:
            raise JobError(
                f"decode.device=gpu: PyTorch does not resize with {preprocess.interpolation.value}, the "
                "model.preprocess.interpolation of this model",
                cure="choose decode.device=cpu",
            )
        self._limits = limits
        self._preprocess = preprocess
        self._device = device
        self._codec = _load_nvimgcodec()
        # Orientation is applied here, since nvImageCodec reads damaged EXIF blocks in its own way.
        self._params = self._codec.DecodeParams(apply_exif_orientation=False, color_spec=self._codec.ColorSpec.SRGB)
        with device_errors(torch.OutOfMemoryError):
            self._decoder = _decoder(self._codec, device)
            self._check_decoder()

    def __call__(self, encoded: Sequence[bytes]) -> list[FittedImage | None]:
        fitted: list[FittedImage | None] = [None] * len(encoded)
        for chunk in chunks(find_plain(encoded, self._limits, self._preprocess)):
            for plain, pixels in zip(chunk, self._fit_chunk(chunk), strict=True):
                if pixels is not None:
                    fitted[plain.place] = FittedImage(pixels, plain.source_hw)
        return fitted

    def _fit_chunk(self, chunk: Sequence[PlainJpeg]) -> list[np.ndarray | None]:
        """Pixels of each image, or None for all of them where the device runs out of memory."""
        try:
            with device_errors(torch.OutOfMemoryError), torch.inference_mode():
                return self._fit(chunk)
        except DeviceMemoryError as error:
            LOG.warning("the GPU has no memory for %d images, so the CPU decodes them: %s", len(chunk), one_line(error))
        # nvImageCodec allocates outside PyTorch, which would keep what it has cached.
        if self._device == "cuda":
            torch.cuda.empty_cache()  # not earlier: the exception held the tensors
        return [None] * len(chunk)

    def _fit(self, chunk: Sequence[PlainJpeg]) -> list[np.ndarray | None]:
        fitted_nhwc = torch.empty((len(chunk), *self._preprocess.size, 3), dtype=torch.uint8, device=self._device)
        fitted_nhwc[:] = torch.tensor(self._preprocess.pad_color, dtype=torch.uint8, device=self._device)
        images = self._decode(chunk)
        for plain, image, fitted_hwc in zip(chunk, images, fitted_nhwc, strict=True):
            if image is not None:
                rows, columns = (axis.shown for axis in plain.axes)
                fitted_hwc[rows, columns] = _resize(_upright(image, plain.orientation), plain, self._preprocess)
        pixels_nhwc = fitted_nhwc.cpu().numpy()
        return [None if image is None else pixels_nhwc[number] for number, image in enumerate(images)]

    def _decode(self, chunk: Sequence[PlainJpeg]) -> list[torch.Tensor | None]:
        """Decodes images as stored, uint8 (height, width, 3); None where nvImageCodec fails."""
        streams = [self._codec.CodeStream(plain.data) for plain in chunk]
        stream = torch.cuda.current_stream().cuda_stream if self._device == "cuda" else 0
        try:
            found = self._decoder.decode(streams, params=self._params, cuda_stream=stream)
        except RuntimeError as error:  # for a single image it returns None instead
            LOG.warning("nvImageCodec fails on %d images, so the CPU decodes them: %s", len(chunk), one_line(error))
            found = [None] * len(chunk)
        if self._device == "cuda" and any(image is None for image in found):
            torch.cuda.synchronize()  # raises if the device is lost
        images = [None if image is None else self._tensor(image) for image in found]
        return [
            image if image is not None and image.shape == (*plain.stored, 3) else None
            for plain, image in zip(chunk, images, strict=True)
        ]

    def _tensor(self, image: Any) -> torch.Tensor:
        """Shares the memory of ``image``. DLPack would call the CUDA driver for CPU memory, too; numpy does not."""
        if self._device == "cuda":
            return torch.utils.dlpack.from_dlpack(image)
        return torch.from_numpy(np.asarray(image))

    def _check_decoder(self) -> None:
        """Decodes a small JPEG: without nvJPEG loading succeeds, and every decode then fails."""
        data = simplejpeg.encode_jpeg(np.full((16, 16, 3), 128, np.uint8))
        plain = PlainJpeg(0, data, (16, 16), 1, (16, 16), (Axis.plan(16, 16, 16), Axis.plan(16, 16, 16)))
        [image] = self._decode([plain])
        if image is None:
            raise JobError(
                "decode.device=gpu: nvImageCodec cannot decode JPEGs on this GPU",
                cure="pip install 'shardlens[nvimgcodec]', which brings nvJPEG, or choose decode.device=cpu",
            )


_RESIZES = (Interpolation.nearest, Interpolation.bilinear, Interpolation.bicubic)


def _upright(image_hwc: torch.Tensor, orientation: int) -> torch.Tensor:
    """Undoes an EXIF orientation, like `actors.decoding.decode`."""
    if orientation in jpeg_header.TRANSPOSED:
        image_hwc = image_hwc.transpose(0, 1)
    dims = [0] * (orientation in jpeg_header.UPSIDE_DOWN) + [1] * (orientation in jpeg_header.MIRRORED)
    return image_hwc.flip(dims) if dims else image_hwc


def _resize(image_hwc: torch.Tensor, plain: PlainJpeg, preprocess: Preprocess) -> torch.Tensor:
    """Resizes, and cuts the part that the crop keeps. In float32: PyTorch cannot resize integers on a GPU."""
    rows, columns = (slice(axis.start, axis.stop) for axis in plain.axes)
    if image_hwc.shape[:2] == plain.resized:
        return image_hwc[rows, columns]
    pixels_nchw = image_hwc.permute(2, 0, 1)[None].to(torch.float32)
    is_nearest = preprocess.interpolation is Interpolation.nearest
    mode = "nearest-exact" if is_nearest else preprocess.interpolation.value
    antialias = preprocess.antialias and not is_nearest
    resized_nchw = torch.nn.functional.interpolate(pixels_nchw, size=plain.resized, mode=mode, antialias=antialias)
    kept_hwc = resized_nchw[0, :, rows, columns].permute(1, 2, 0)
    return kept_hwc.add(0.5).clamp_(0, 255).to(torch.uint8)  # a half rounds up, as on the CPU


def _load_nvimgcodec() -> Any:
    """Imports ``nvidia.nvimgcodec``. Raises JobError where that fails."""
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # it would log a line for each image that fails
    try:
        from nvidia import nvimgcodec  # noqa: PLC0415  it is optional
    except ImportError as error:
        raise JobError(
            f"decode.device=gpu: nvImageCodec cannot be imported: {one_line(error)}",
            cure="pip install 'shardlens[nvimgcodec]' where the workers run, or choose decode.device=cpu",
        ) from error
    return nvimgcodec


def _decoder(codec: Any, device: str) -> Any:
    """Creates a decoder without fallbacks: for images that a GPU cannot decode, our own libjpeg-turbo is better."""
    kinds, device_id = [codec.BackendKind.CPU_ONLY], codec.NVIMGCODEC_DEVICE_CPU_ONLY
    if device == "cuda":
        kinds = [codec.BackendKind.HW_GPU_ONLY, codec.BackendKind.GPU_ONLY, codec.BackendKind.HYBRID_CPU_GPU]
        device_id = codec.NVIMGCODEC_DEVICE_CURRENT
        if not torch.cuda.is_available():
            raise JobError(
                f"decode.device=gpu: PyTorch {torch.__version__} finds no GPU here", cure="choose decode.device=cpu"
            )
    try:
        return codec.Decoder(
            device_id=device_id,
            max_num_cpu_threads=default_threads(),
            backends=[codec.Backend(kind) for kind in kinds],
            options=":fancy_upsampling=1",  # interpolates chroma, as libjpeg-turbo does
        )
    except RuntimeError as error:
        raise JobError(
            f"decode.device=gpu: nvImageCodec cannot use the GPU: {one_line(error)}",
            cure="install a driver for the CUDA of shardlens[nvimgcodec], or choose decode.device=cpu",
        ) from error
