"""The first layer of every network that runs in PyTorch or is exported from it: converts pixels to numbers. Runs in
workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from actors.preprocess import ChannelOrder, Layout, Standardize, scale_and_bias
from actors.preprocess.normalisation import GREY_HALF, GREY_SCALE, GREY_WEIGHTS, least_deviation

if TYPE_CHECKING:
    from actors.preprocess import Preprocess


class PixelInput(nn.Module):
    """Converts uint8 RGB (n, height, width, 3) to float32 (n, height, width, channels), with the channel order and
    normalisation of the model, but not its layout.
    """

    scale: torch.Tensor
    bias: torch.Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.is_nhwc = preprocess.layout is Layout.nhwc
        self._is_grey = preprocess.channels == 1
        self._is_bgr = preprocess.channel_order is ChannelOrder.bgr
        self._factor = preprocess.rescale_factor
        self._least_deviation = least_deviation(preprocess)
        self._is_standardized = preprocess.standardize is Standardize.per_image
        if not self._is_standardized:
            scale, bias = scale_and_bias(preprocess)
            if self._is_bgr:  # the pixels are still RGB when they are scaled
                scale, bias = scale[::-1], bias[::-1]
            width = preprocess.size[1]
            self.register_buffer("scale", torch.from_numpy(np.tile(scale, width)))
            self.register_buffer("bias", torch.from_numpy(np.tile(bias, width)))

    def forward(self, pixels_nhwc: torch.Tensor) -> torch.Tensor:
        pixels = self._grey(pixels_nhwc) if self._is_grey else pixels_nhwc.to(torch.float32)
        numbers = self._standardized(pixels) if self._is_standardized else self._scaled(pixels)
        return numbers.flip(3) if self._is_bgr else numbers

    def _grey(self, pixels_nhwc: torch.Tensor) -> torch.Tensor:
        # One channel at a time: a sum along an axis of 3 takes four times as long.
        red, green, blue = (channel.to(torch.float32) for channel in pixels_nhwc.unbind(3))
        of_red, of_green, of_blue = GREY_WEIGHTS.tolist()
        sums = red.mul_(of_red).add_(green, alpha=of_green).add_(blue, alpha=of_blue)
        return sums.add_(GREY_HALF).mul_(GREY_SCALE).floor_().unsqueeze(3)

    def _scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        # Whole rows at a time: with 3 values at a time, this takes as long as decoding on the CPU, and ten times as
        # long in onnxruntime.
        return pixels.flatten(2).mul_(self.scale).add_(self.bias).view(pixels.shape)

    def _standardized(self, pixels: torch.Tensor) -> torch.Tensor:
        numbers = pixels * self._factor
        centred = numbers - numbers.mean((1, 2, 3), keepdim=True)
        deviation = (centred * centred).mean((1, 2, 3), keepdim=True).sqrt()
        return centred / deviation.clamp(min=self._least_deviation)
