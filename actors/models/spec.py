"""The recipe of a model: architecture, weights, pre-processing and labels. The driver checks it, each worker
rebuilds the network from it. Importing this module costs no torch; building a network does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actors.errors import JobError
from actors.field_types import coerce_fields
from actors.messages import redacted
from actors.models.architectures import ARCHITECTURE_CURE, check_architecture
from actors.models.labels import read_labels
from actors.models.model_files import file_name, reading
from actors.preprocess import Preprocess
from actors.storage.store import Storage

STATE_DICT_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pt.tar", ".pth.tar")
INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
"""Of the file that save_pretrained writes beside the shards of a large state_dict."""
ONNX_SUFFIX = ".onnx"


@dataclass
class Model:
    """What is to be run: everything that decides a prediction, except engine and task."""

    architecture: str | None = None
    """What builds the network: ``package.module:callable``, ``timm:NAME`` or ``torchvision:NAME``; none for .onnx."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for the architecture, such as ``num_classes``."""
    checkpoint: str = "???"
    """Path or URI of the weights: a state_dict (.pt, .pth, .bin, .ckpt, .safetensors), or a whole .onnx model."""
    ema: bool = False
    """Whether to take the averaged weights that a training checkpoint holds beside the last ones."""
    prefix: str | None = None
    """What the names of the wanted weights begin with in the checkpoint, such as ``encoder.``; all others are left."""
    ignore: list[str] = field(default_factory=list)
    """Patterns of names in the checkpoint that are no part of the network, such as ``criterion.*``."""
    labels: Any = None
    """Names of the classes, in order: path or URI of a UTF-8 file with one a line, or a list; none for numbers."""
    preprocess: Preprocess = field(default_factory=Preprocess)
    """What happens to an image before the network sees it."""
    storage_options: dict[str, str] = field(default_factory=dict)
    """Settings for the store of ``checkpoint`` and ``labels``, such as ``endpoint`` or ``region``."""

    def __post_init__(self) -> None:
        coerce_fields(self, "model")

    @property
    def is_onnx(self) -> bool:
        """Whether the checkpoint is a whole .onnx model, and no state_dict."""
        return file_name(self.checkpoint).endswith(ONNX_SUFFIX)

    @property
    def where(self) -> str:
        """The checkpoint as messages name it."""
        return redacted(f"model.checkpoint={self.checkpoint}")

    def check_form(self) -> None:
        """Raises `JobError` where the form of the checkpoint is unknown, or other keys do not go with it."""
        _check_format(self)
        _check_fit(self)

    def check(self) -> None:
        """Raises `JobError` when the recipe cannot work, as far as that shows without building the network."""
        self.preprocess.check()
        self.check_form()
        with reading(self.where):
            kind = Storage(self.storage_options).kind(self.checkpoint)
        if kind != "file":
            seen = "is a folder" if kind == "folder" else "no such file"
            raise JobError(f"{self.where}: {seen}", cure="give the path or URI of the file with the weights")
        read_labels(self)


def _check_format(model: Model) -> None:
    name = file_name(model.checkpoint)
    known = (*STATE_DICT_SUFFIXES, *INDEX_SUFFIXES, ONNX_SUFFIX)
    if model.checkpoint == "???":
        raise JobError("model.checkpoint is not given", cure="set model.checkpoint to the path or URI of the weights")
    if name.endswith(".pt2"):
        raise JobError(
            f"{model.where}: a .pt2 archive can hold code, and is not loaded",
            cure="export the model to .onnx, or save its state_dict and name its model.architecture",
        )
    if not name.endswith(known):
        raise JobError(f"{model.where}: unknown format", cure=f"give a file of one of {', '.join(known)}")


def _check_fit(model: Model) -> None:
    """A state_dict needs an architecture; an .onnx file has its own."""
    if not model.is_onnx:
        if model.architecture is None:
            raise JobError(
                f"model.architecture is not given, and {model.where} holds weights alone", cure=ARCHITECTURE_CURE
            )
        check_architecture(model.architecture)
        return
    none = {"architecture": "null", "kwargs": "{}", "ema": "false", "prefix": "null", "ignore": "[]"}
    given = [name for name in none if getattr(model, name)]
    if given:
        seen = ", ".join(f"model.{name}={getattr(model, name)}" for name in given)
        cure = " ".join(f"model.{name}={none[name]}" for name in given)
        raise JobError(f"{model.where}: holds its own network, yet {seen}", cure=f"set {cure}, or give a state_dict")
