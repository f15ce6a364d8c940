"""Loads a TorchScript archive as a network. Runs on the driver and once in each worker."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from actors.errors import JobError
from actors.messages import one_line
from actors.models.archives import SCRIPT, pinned_archive
from actors.models.pieces import Pieces

if TYPE_CHECKING:
    from actors.models.spec import Model


def load(model: Model) -> nn.Module:
    """Returns the network in the archive of ``model``, on the CPU, in evaluation mode, without gradients.

    A network that was traced for a single image, and fails on two, gets one image at a time.

    Raises:
        JobError: the file is not the pinned one, or not a TorchScript archive, or does not load.
    """
    data = pinned_archive(
        model,
        SCRIPT,
        fix=".pt2 is the ending of an exported program",
        fix_of_state_dict="set model.architecture, or copy it again",
    )
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated but still in use
        try:
            network = torch.jit.load(data, map_location="cpu").eval()  # type: ignore[no-untyped-call]  # PyTorch's stubs lack it
        except Exception as error:
            raise JobError(
                f"{model.where}: PyTorch {torch.__version__} does not load it: {one_line(error)}",
                fix="save it again with this version, or export the model to .onnx",
            ) from error
    for parameter in network.parameters():
        parameter.requires_grad_(requires_grad=False)
    script = Script(network).eval()
    return Pieces(script, 1, 1).eval() if _takes_one_image(script, model) else script


class Script(nn.Module):
    """Runs a TorchScript network. Its errors state the reason on the first line, like other errors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> Any:
        try:
            return self.network(images)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = next((line for line in lines if line.startswith("RuntimeError: ")), lines[0] if lines else "")
            raise RuntimeError(reason.removeprefix("RuntimeError: ")) from error


def _takes_one_image(network: nn.Module, model: Model) -> bool:
    """Returns True if ``network`` runs on one blank image, and not on two."""
    return _runs(network, model, 1) and not _runs(network, model, 2)


def _runs(network: nn.Module, model: Model, num_images: int) -> bool:
    try:
        with torch.inference_mode():
            network(torch.zeros(num_images, *model.preprocess.input_shape))
    except Exception:  # noqa: BLE001  code in the file may raise anything; the engine reports it
        return False
    return True
