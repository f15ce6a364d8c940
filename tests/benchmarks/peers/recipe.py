"""The model and transform of all peers: the fitted network in eager fp32, after torchvision's usual transform.

torchvision is not a dependency, so its transform is written out: Pillow resizes and crops, torch normalises, in
torchvision's steps and order. The pixels equal those of `fitted.reference_pixels`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fitted import MEAN, STD
from photos import NUM_CLASSES
from PIL import Image

from actors.models.architectures import construct

BATCH = 32
TOP = 5
RESIZE, CROP = 256, 224
DETECTOR_SIDE = 320

_MEAN, _STD = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)


def load_network(weights: str) -> torch.nn.Module:
    """Loads the architecture that the file is named after, such as networks-resnet18.pt, with its weights."""
    network = construct(Path(weights).stem.replace("-", ":", 1), {"num_classes": NUM_CLASSES})
    network.load_state_dict(torch.load(weights))
    return network.eval()


def transform(image: Image.Image) -> torch.Tensor:
    """Applies Resize(256), CenterCrop(224), ToTensor and Normalize; returns float32 (3, 224, 224)."""
    width, height = image.size
    short, long = sorted((width, height))
    scaled = (RESIZE, int(RESIZE * long / short))
    resized = image.resize(scaled if width <= height else scaled[::-1], Image.Resampling.BILINEAR)
    left, top = round((resized.width - CROP) / 2.0), round((resized.height - CROP) / 2.0)
    return _normalised(resized.crop((left, top, left + CROP, top + CROP)))


def stretch(image: Image.Image) -> torch.Tensor:
    """Resizes the image to a square, as for a detector, and normalises it; returns float32 (3, 320, 320)."""
    return _normalised(image.resize((DETECTOR_SIDE, DETECTOR_SIDE), Image.Resampling.BILINEAR))


def _normalised(image: Image.Image) -> torch.Tensor:
    pixels_hwc = np.array(image)
    pixels_chw = torch.from_numpy(pixels_hwc).permute(2, 0, 1).contiguous()
    return pixels_chw.to(torch.float32).div(255).sub_(_MEAN).div_(_STD)


def classify(network: torch.nn.Module, pixels_nchw: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers and scores of the best classes, best first, each of shape (n, 5)."""
    with torch.inference_mode():
        scores, ids = torch.softmax(network(pixels_nchw).float(), dim=1).topk(TOP)
    return ids.numpy(), scores.numpy()
