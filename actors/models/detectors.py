"""torchvision detectors as networks with outputs of a fixed size. Runs wherever a network is rebuilt."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from actors.errors import JobError
from actors.models.detections import padded
from actors.models.model_files import file_name

if TYPE_CHECKING:
    from actors.preprocess import Preprocess


def is_detector(network: object) -> bool:
    """Returns True for a torchvision detector, or an instance of its classes."""
    transforms: Any = sys.modules.get(_TRANSFORMS)  # a network of its classes has already imported it
    return transforms is not None and isinstance(
        getattr(network, "transform", None), transforms.GeneralizedRCNNTransform
    )


class Detector(nn.Module):
    """A torchvision detector for pixels in 0..1 of a fixed size: float (n, 3, height, width).

    Returns its detections, best first, as `padded` tensors: ``boxes`` in pixels of its input, ``scores`` and
    ``labels``, and for Mask R-CNN ``masks`` (n, m, 28, 28), the probabilities within each box. m is the maximum number
    of detections that the network keeps per image. Does not resize; ``model.preprocess`` does.

    Raises:
        JobError: ``preprocess`` normalises the pixels, which the network does itself; or, when called, the network is
            being exported, but the graph of a detector depends on the image content.
    """

    def __init__(self, model: Any, preprocess: Preprocess) -> None:
        super().__init__()
        _check_normalised_once(model.transform, preprocess)
        model.transform = _Normalisation(model.transform)
        self.model = model
        self.num_boxes = int(getattr(model, "roi_heads", model).detections_per_img)

    def forward(self, pixels_nchw: torch.Tensor) -> dict[str, torch.Tensor]:
        if torch.compiler.is_exporting():
            raise JobError(
                "torchvision's detectors cannot be exported: their layers depend on the boxes found before",
                fix="choose engine=torch",
            )
        return padded(self.model(pixels_nchw), self.num_boxes)


def without_eps(network: nn.Module, checkpoint: str) -> None:
    """Makes batch normalisation behave as with an eps of 0 if ``checkpoint`` is a torchvision file that needs it.

    Changes the variances, and so also the weights if they are saved again.
    """
    if file_name(checkpoint) in _TRAINED_WITHOUT_EPS:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.running_var is not None:
                layer.running_var -= layer.eps


class _Normalisation(nn.Module):
    """Replaces torchvision's `GeneralizedRCNNTransform`: normalises and pads, but does not resize, so boxes and masks
    stay as the network returns them.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, transform: Any) -> None:
        super().__init__()
        for name in ("mean", "std"):
            values = torch.tensor(getattr(transform, f"image_{name}")).reshape(1, -1, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.size_divisible = transform.size_divisible

    def forward(self, images_nchw: torch.Tensor, _targets: None = None) -> tuple[Any, None]:
        height, width = images_nchw.shape[2:]
        normalised = (images_nchw - self.mean) / self.std
        margins = (0, -width % self.size_divisible, 0, -height % self.size_divisible)
        image_list: Any = importlib.import_module(_IMAGE_LIST)
        sizes = [(height, width)] * len(images_nchw)
        return image_list.ImageList(nn.functional.pad(normalised, margins), sizes), None

    @staticmethod
    def postprocess(detections: Any, _sizes: Any, _original_sizes: Any) -> Any:
        return detections


def _check_normalised_once(transform: Any, preprocess: Preprocess) -> None:
    normalises = any(transform.image_mean) or any(value != 1 for value in transform.image_std)
    if normalises and (any(preprocess.mean) or any(value != 1 for value in preprocess.std)):
        raise JobError(
            f"model.preprocess.mean={preprocess.mean}, std={preprocess.std}: torchvision's detectors normalise images "
            "themselves",
            fix="set model.preprocess.mean=[0,0,0] and model.preprocess.std=[1,1,1]",
        )


# torchvision's builders set the eps of their layers only for these weights.
_TRAINED_WITHOUT_EPS = (
    "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
    "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    "retinanet_resnet50_fpn_coco-eeacb38b.pth",
)
_TRANSFORMS = "torchvision.models.detection.transform"
_IMAGE_LIST = "torchvision.models.detection.image_list"
