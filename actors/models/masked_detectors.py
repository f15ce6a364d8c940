"""transformers detectors that accept a mask of the border around each image. Runs wherever a network is rebuilt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from actors.preprocess import ChannelOrder, PadPosition

if TYPE_CHECKING:
    from actors.preprocess import Preprocess


def takes_mask(architecture: str, preprocess: Preprocess) -> bool:
    """Returns True if the architecture needs a mask, and images have a border below and to the right."""
    has_border = preprocess.pad_position is PadPosition.top_left and preprocess.channels == _COLORS
    return has_border and architecture.partition(":")[2] in _MASKED


class MaskedDetector(torch.nn.Module):
    """Hides the border of images, float (n, 3, height, width), from a transformers detector.

    Positions and boxes of these detectors are relative to the visible part, which is found by the colour of the border:
    rows at the bottom and columns at the right that contain only this colour. Returns ``logits`` (n, boxes, classes),
    and ``pred_boxes`` (n, boxes, 4): centre, width and height relative to the whole input.
    """

    border: torch.Tensor
    tolerance: torch.Tensor

    def __init__(self, model: Any, preprocess: Preprocess) -> None:
        super().__init__()
        self.model = model
        color = preprocess.pad_color[:: -1 if preprocess.channel_order is ChannelOrder.bgr else 1]
        level = preprocess.rescale_factor / torch.tensor(preprocess.std)  # of 255
        border = torch.tensor(color) * level - torch.tensor(preprocess.mean) / torch.tensor(preprocess.std)
        for name, values in {"border": border, "tolerance": level / 2}.items():
            self.register_buffer(name, values.reshape(1, -1, 1, 1), persistent=False)

    def forward(self, pixels_nchw: torch.Tensor) -> dict[str, torch.Tensor]:
        is_shown = ((pixels_nchw - self.border).abs() > self.tolerance).any(dim=1)
        rows, height = _extent(is_shown.any(dim=2))
        columns, width = _extent(is_shown.any(dim=1))
        mask = rows[:, :, None] & columns[:, None, :]
        outputs = self.model(pixel_values=pixels_nchw, pixel_mask=mask.to(torch.int64))
        shares = torch.stack([width, height, width, height], dim=1)[:, None].to(outputs.pred_boxes.dtype)
        return {"logits": outputs.logits, "pred_boxes": outputs.pred_boxes * shares}


# Detectors trained on boxes relative to the visible part; others, such as RT-DETR, ignore their mask.
_MASKED = {
    f"{name}ForObjectDetection" for name in ("Detr", "ConditionalDetr", "DabDetr", "DeformableDetr", "TableTransformer")
}
_COLORS = 3


def _extent(is_shown: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns, for bools (n, length): True up to the last True, at least once, and the fraction of the length up to
    there.
    """
    places = torch.arange(1, is_shown.shape[1] + 1, device=is_shown.device)
    last = (is_shown * places).amax(dim=1).clamp(min=1)
    return places <= last[:, None], last / is_shown.shape[1]
