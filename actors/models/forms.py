"""The forms in which a model can be stored. Each is one module that implements `ModelForm`, and one entry in `FORMS`.
Runs on the driver and in workers; importing it loads neither PyTorch nor ONNX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.errors import JobError
from actors.models.onnx_form import OnnxForm
from actors.models.openvino_form import OpenVinoForm
from actors.models.pt2_form import Pt2Form
from actors.models.state_dict_form import StateDictForm
from actors.models.torchscript_form import TorchScriptForm, is_pinned_alone

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

    from actors.models.graph_file import GraphFile
    from actors.models.spec import Model


class ModelForm(Protocol):
    """Everything that other code needs to know about the form of a model. Libraries are imported inside the methods."""

    @property
    def formats(self) -> tuple[str, ...]:
        """File name suffixes, as listed in the message about an unknown format."""

    @property
    def stored_as(self) -> str:
        """``file`` or ``folder``: what storage must hold at ``model.checkpoint``."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that can run it. The first is the default, and produces the reference answers."""

    @property
    def has_network(self) -> bool:
        """True if a PyTorch network can be rebuilt from it, which needs torch. Any other engines run an export of the
        network, in any precision.
        """

    def owns(self, checkpoint: str) -> bool:
        """Returns True if a checkpoint of this name has this form; touches no storage."""

    def check_keys(self, model: Model) -> None:
        """Raises `JobError` if other keys of ``model`` conflict with this form."""

    def files(self, model: Model) -> list[str]:
        """Returns the URIs of all files that hold the weights."""

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:
        """Returns the SHA-256 of the weights, in hexadecimal. ``network`` is the result of `network`, if already
        called.
        """

    def network(self, model: Model) -> torch.nn.Module | None:
        """Returns the network with its weights, on the CPU; None unless `has_network`."""

    def graph_file(self, model: Model) -> AbstractContextManager[GraphFile] | None:
        """Returns the file that an engine opens, on this machine while the context is open, or None if it must be
        exported from `network`.
        """


_SCRIPT = TorchScriptForm()
FORMS: tuple[ModelForm, ...] = (StateDictForm(), OnnxForm(), OpenVinoForm(), Pt2Form(), _SCRIPT)


def form_of(model: Model) -> ModelForm:
    """Returns the form of ``model``, by the name of its checkpoint. A pinned .pt file without an architecture is
    treated as TorchScript.

    Raises:
        JobError: no checkpoint is given, or its format is unknown.
    """
    if is_pinned_alone(model):
        return _SCRIPT
    for form in FORMS:
        if form.owns(model.checkpoint):
            return form
    if model.source and not model.checkpoint:
        raise JobError(
            f"model.source={model.source}: was not read",
            fix="make the model with actors.models.sources.model_from, which reads its source",
        )
    if not model.checkpoint:
        raise JobError("model.checkpoint is not given", fix="set model.checkpoint to the path or URI of the weights")
    known = ", ".join(ending for form in FORMS for ending in form.formats)
    raise JobError(
        f"{model.where}: unknown format",
        fix=f"give a file that ends in one of {known}; convert those of other frameworks to .onnx: see docs/models.md",
    )
