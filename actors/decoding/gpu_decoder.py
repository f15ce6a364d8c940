"""Decodes, resizes and crops JPEGs on a GPU, with nvImageCodec and PyTorch. Loaded once in a worker that reads and
predicts.
"""

from __future__ import annotations

import logging
import math
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import simplejpeg
import torch

from actors.decoding import jpeg_header
from actors.decoding.config import FittedBatch
from actors.decoding.gpu_eligibility import PlainJpeg, chunks, find_plain
from actors.device_errors import DeviceMemoryError, device_errors
from actors.engines.base import default_threads
from actors.errors import JobError
from actors.messages import one_line
from actors.preprocess import Axis, Interpolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.decoding.config import Decode
    from actors.preprocess import Preprocess

LOG = logging.getLogger("shardlens")


class GpuDecoder:
    """Decodes batches on a GPU and keeps the pixels there; see `actors.decoding.config.BatchDecoder`.

    Decodes the images selected by `gpu_eligibility.find_plain`; nvImageCodec sees no other bytes. Orientation, sizes
    and crop match `decode` and `actors.preprocess.fit`. Each image is decoded at full size, regardless of
    ``limits.scaled``, and resized in float32: pixels are within 2 grey levels of the CPU's full-size decode, apart from
    the rounding of the GPU's decoder. A file that is complete but damaged inside may show different damage.

    Args:
        limits: ``max_bytes`` and ``max_pixels`` apply.
        preprocess: a checked config.
        device: ``cuda``, or ``cpu`` for nvImageCodec's own CPU decoders, which stand in for a GPU in tests.

    Raises:
        JobError: the device, nvImageCodec, or a library that it needs to decode JPEGs there is missing, or PyTorch
            lacks the interpolation.
        DeviceError: the device is lost, or has no memory left.
    """

    def __init__(self, limits: Decode, preprocess: Preprocess, *, device: str = "cuda") -> None:
        if preprocess.interpolation not in _RESIZES:
            raise JobError(
                f"decode.device=gpu: PyTorch does not resize with {preprocess.interpolation.value}, the "
                "model.preprocess.interpolation of this model",
                fix="choose decode.device=cpu",
            )
        self._limits = limits
        self._preprocess = preprocess
        self._device = device
        self._codec = _load_nvimgcodec()
        # Orientation is applied here because nvImageCodec reads damaged EXIF blocks differently.
        self._params = self._codec.DecodeParams(apply_exif_orientation=False, color_spec=self._codec.ColorSpec.SRGB)
        with device_errors(torch.OutOfMemoryError):
            self._decoder = _decoder(self._codec, device)
            self._check_decoder()

    def __call__(self, encoded: Sequence[bytes]) -> FittedBatch:
        fitted_nhwc = self._blank(len(encoded))
        sources_hw: list[tuple[int, int] | None] = [None] * len(encoded)
        for chunk in chunks(find_plain(encoded, self._limits, self._preprocess)):
            for plain in self._fit_chunk(chunk, fitted_nhwc):
                sources_hw[plain.place] = plain.source_hw
        return FittedBatch(fitted_nhwc, sources_hw)

    def _blank(self, num_images: int) -> torch.Tensor:
        """Returns images of padding on the device, or in CPU memory if the device has no room for them."""
        shape = (num_images, *self._preprocess.size, 3)
        try:
            with device_errors(torch.OutOfMemoryError):
                blank_nhwc = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        except DeviceMemoryError:
            blank_nhwc = torch.zeros(shape, dtype=torch.uint8)
        return blank_nhwc.add_(blank_nhwc.new_tensor(self._preprocess.pad_color))

    def _fit_chunk(self, chunk: Sequence[PlainJpeg], fitted_nhwc: torch.Tensor) -> list[PlainJpeg]:
        """Fills in the images of ``chunk``. Returns the decoded ones: none if the device runs out of memory."""
        try:
            with device_errors(torch.OutOfMemoryError), torch.inference_mode():
                return self._fit(chunk, fitted_nhwc)
        except DeviceMemoryError as error:
            LOG.warning("the GPU has no memory for %d images, so the CPU decodes them: %s", len(chunk), one_line(error))
        # nvImageCodec allocates outside PyTorch, which would otherwise keep its cache.
        if self._device == "cuda":
            torch.cuda.empty_cache()  # not earlier: the exception held the tensors
        return []

    def _fit(self, chunk: Sequence[PlainJpeg], fitted_nhwc: torch.Tensor) -> list[PlainJpeg]:
        images = zip(chunk, self._decode(chunk), strict=True)
        decoded = [(plain, image) for plain, image in images if image is not None]
        for group in _groups(decoded):
            plain, _ = group[0]
            batch_nhwc = torch.stack([_upright(image, one.orientation) for one, image in group])
            visible_nhwc = _resize(batch_nhwc, plain, self._preprocess).to(fitted_nhwc.device)
            rows, columns = (axis.shown for axis in plain.axes)
            fitted_nhwc[[one.place for one, _ in group], rows, columns] = visible_nhwc
        if self._device == "cuda":
            # A lost device raises here, and only now may nvImageCodec reclaim the memory of its images.
            torch.cuda.current_stream().synchronize()
        return [plain for plain, _ in decoded]

    def _decode(self, chunk: Sequence[PlainJpeg]) -> list[torch.Tensor | None]:
        """Decodes images as stored, uint8 (height, width, 3); None if nvImageCodec fails."""
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
        """Decodes a small JPEG: without nvJPEG, loading succeeds but every decode fails."""
        data = simplejpeg.encode_jpeg(np.full((16, 16, 3), 128, np.uint8))
        plain = PlainJpeg(0, data, (16, 16), 1, (16, 16), (Axis.plan(16, 16, 16), Axis.plan(16, 16, 16)))
        [image] = self._decode([plain])
        if image is None:
            raise JobError(
                "decode.device=gpu: nvImageCodec cannot decode JPEGs on this GPU",
                fix="pip install 'shardlens[nvimgcodec]', which brings nvJPEG, or choose decode.device=cpu",
            )


_RESIZES = (Interpolation.nearest, Interpolation.bilinear, Interpolation.bicubic)
_GROUP_PIXELS = 1 << 23  # 100 MB as float32, on a GPU that the network may fill


def _groups(decoded: Sequence[tuple[PlainJpeg, torch.Tensor]]) -> Iterator[list[tuple[PlainJpeg, torch.Tensor]]]:
    """Yields groups of upright images of one size to resize together: up to `_GROUP_PIXELS`, or a single image."""
    by_size: defaultdict[tuple[int, int], list[tuple[PlainJpeg, torch.Tensor]]] = defaultdict(list)
    for plain, image in decoded:
        by_size[plain.source_hw].append((plain, image))
    for group in by_size.values():
        plain, _ = group[0]
        size = max(1, _GROUP_PIXELS // max(plain.num_pixels, math.prod(plain.resized)))
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _upright(image_hwc: torch.Tensor, orientation: int) -> torch.Tensor:
    """Undoes an EXIF orientation, like `actors.decoding.decode`."""
    if orientation in jpeg_header.TRANSPOSED:
        image_hwc = image_hwc.transpose(0, 1)
    dims = [0] * (orientation in jpeg_header.UPSIDE_DOWN) + [1] * (orientation in jpeg_header.MIRRORED)
    return image_hwc.flip(dims) if dims else image_hwc


def _resize(batch_nhwc: torch.Tensor, plain: PlainJpeg, preprocess: Preprocess) -> torch.Tensor:
    """Resizes images of ``plain``'s size and crops them, in float32: PyTorch cannot resize integers on a GPU."""
    rows, columns = (slice(axis.start, axis.stop) for axis in plain.axes)
    if batch_nhwc.shape[1:3] == plain.resized:
        return batch_nhwc[:, rows, columns]
    pixels_nchw = batch_nhwc.permute(0, 3, 1, 2).to(torch.float32)
    is_nearest = preprocess.interpolation is Interpolation.nearest
    mode = "nearest-exact" if is_nearest else preprocess.interpolation.value
    antialias = preprocess.antialias and not is_nearest
    resized_nchw = torch.nn.functional.interpolate(pixels_nchw, size=plain.resized, mode=mode, antialias=antialias)
    kept_nhwc = resized_nchw[:, :, rows, columns].permute(0, 2, 3, 1)
    return kept_nhwc.add(0.5).clamp_(0, 255).to(torch.uint8)  # halves round up, as on the CPU


def _load_nvimgcodec() -> Any:
    """Imports ``nvidia.nvimgcodec``. Raises JobError if that fails."""
    os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # it would log a line for each failed image
    try:
        from nvidia import nvimgcodec  # noqa: PLC0415  it is optional
    except ImportError as error:
        raise JobError(
            f"decode.device=gpu: nvImageCodec cannot be imported: {one_line(error)}",
            fix="pip install 'shardlens[nvimgcodec]' where the workers run, or choose decode.device=cpu",
        ) from error
    return nvimgcodec


def _decoder(codec: Any, device: str) -> Any:
    """Creates a decoder without fallbacks: libjpeg-turbo is better for images that a GPU cannot decode."""
    kinds, device_id = [codec.BackendKind.CPU_ONLY], codec.NVIMGCODEC_DEVICE_CPU_ONLY
    if device == "cuda":
        kinds = [codec.BackendKind.HW_GPU_ONLY, codec.BackendKind.GPU_ONLY, codec.BackendKind.HYBRID_CPU_GPU]
        device_id = codec.NVIMGCODEC_DEVICE_CURRENT
        if not torch.cuda.is_available():
            raise JobError(
                f"decode.device=gpu: PyTorch {torch.__version__} finds no GPU here", fix="choose decode.device=cpu"
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
            fix="install a driver for the CUDA of shardlens[nvimgcodec], or choose decode.device=cpu",
        ) from error
