"""The typed config of a model: architecture, weights, pre-processing and labels. The driver checks it; workers rebuild
the network from it. Importing this module does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.messages import redacted
from actors.models.forms import form_of
from actors.models.hub_files import on_this_machine
from actors.models.labels import read_labels
from actors.models.model_files import reading
from actors.models.pinned_files import check_pin
from actors.preprocess import Preprocess
from actors.storage.store import Storage


@dataclass
class Model:
    """Everything that determines a prediction, except engine and task."""

    source: str = field(default="", kw_only=True)
    """The whole model in one key: ``timm:NAME.TAG``, ``torchvision:NAME:WEIGHTS``, ``hf:REPO@REVISION``, or a folder.
    The other keys override the values of the source."""
    architecture: str | None = None
    """Builds the network: ``package.module:callable``, ``timm:NAME``, ``torchvision:NAME`` or ``transformers:NAME``;
    null for a model that includes its own."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for the architecture, such as ``num_classes``."""
    checkpoint: str = ""
    """Path or URI of the weights: a state_dict (.pt, .pth, .bin, .ckpt, .safetensors), or a whole model (.onnx, .xml of
    OpenVINO, .pt2, TorchScript).
    """
    sha256: str = ""
    """SHA-256 that the file must have, in hexadecimal; required for .pt2 and TorchScript, since loading them can run
    code. For several files, such as shards, the SHA-256 of their concatenation: the checkpoint, then the rest in order
    of name.
    """
    ema: bool = False
    """Load the averaged weights that a training checkpoint holds in addition to the last ones."""
    prefix: str | None = None
    """Load only the weights whose names in the checkpoint begin with this prefix, such as ``encoder.``."""
    ignore: list[str] = field(default_factory=list)
    """Patterns of names in the checkpoint that are not part of the network, such as ``criterion.*``."""
    labels: Any = None
    """Class names in order: a list, or the path or URI of a file (text with one name per line, JSON, YAML or CSV); null
    if there are none."""
    preprocess: Preprocess = field(default_factory=Preprocess)
    """Resize, crop and normalisation."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the store of ``checkpoint`` and ``labels``, such as ``endpoint`` or ``region``."""
    form: str = field(default="auto", kw_only=True)
    """Form of a bundle to run: onnx, openvino, safetensors or pt2; auto selects one that the engine runs."""

    def __post_init__(self) -> None:
        coerce_fields(self, "model")

    @property
    def where(self) -> str:
        """The checkpoint as named in messages, without secrets."""
        return redacted(f"model.checkpoint={self.checkpoint}")

    @property
    def network_key(self) -> str:
        """The key of the network as named in messages: the architecture, or the file that holds one."""
        return f"model.architecture={self.architecture}" if self.architecture else self.where

    def check_form(self) -> None:
        """Raises `JobError` if the form of the checkpoint is unknown or conflicts with other keys."""
        form_of(self).check_keys(self)
        check_pin(self)

    def check(self) -> None:
        """Raises `JobError` if the model cannot work, as far as can be seen without building the network."""
        self.preprocess.check()
        self.check_form()
        wanted = form_of(self).stored_as
        # After the checks that need no storage, whose errors need not wait for a server.
        checkpoint = on_this_machine(self.checkpoint)
        with reading(self.where):
            kind = Storage(self.storage_options).kind(checkpoint)
        if kind != wanted:
            seen = f"is a {kind}" if kind else f"no such {wanted}"
            raise JobError(f"{self.where}: {seen}", fix=f"give the path or URI of the {wanted} with the weights")
        read_labels(self)
