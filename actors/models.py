"""The recipe of a model: architecture, weights, pre-processing and labels. The driver checks it, each worker
rebuilds the network from it. Importing this module costs no torch; building a network does.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from actors.architectures import ARCHITECTURE_CURE, check_architecture, construct
from actors.errors import JobError, UnreachableError
from actors.messages import one_line, redacted
from actors.preprocess import Preprocess
from actors.retries import passing_kind
from actors.storage import Storage
from actors.typed import coerce_fields
from actors.uris import is_http

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import torch

STATE_DICT_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pt.tar", ".pth.tar")
INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")
"""Of the file that save_pretrained writes beside the shards of a large state_dict."""
ONNX_SUFFIX = ".onnx"
MAX_LABELS_BYTES = 64 << 20


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

    def check(self) -> None:
        """Raises `JobError` when the recipe cannot work, as far as that shows without building the network."""
        self.preprocess.check()
        _check_format(self)
        _check_fit(self)
        with reading(self.where):
            kind = Storage(self.storage_options).kind(self.checkpoint)
        if kind != "file":
            seen = "is a folder" if kind == "folder" else "no such file"
            raise JobError(f"{self.where}: {seen}", cure="give the path or URI of the file with the weights")
        read_labels(self)


def read_labels(model: Model) -> list[str] | None:
    """The names of the classes in order, or None where the recipe gives none. Two classes may share a name.

    Raises:
        JobError: the file cannot be read, or what stands there are not names.
    """
    if model.labels is None:
        return None
    if isinstance(model.labels, str):
        where = redacted(f"model.labels={model.labels}")
        return _checked_labels(where, _label_lines(model, where))
    if isinstance(model.labels, list):
        return _checked_labels("model.labels", model.labels)
    raise JobError(
        f"model.labels={model.labels}: neither a path nor a list",
        cure="give a file with one name a line, or a list of names",
    )


def build_network(model: Model) -> torch.nn.Module:
    """The network with its weights, on the CPU, in evaluation mode, without gradients.

    Raises:
        JobError: the architecture cannot be imported or built, or the checkpoint cannot be read or does not fit.
    """
    from actors import checkpoints  # noqa: PLC0415  torch takes seconds to import

    _check_format(model)
    _check_fit(model)
    network = construct(str(model.architecture), model.kwargs)
    checkpoints.load(network, model)
    return network.eval().requires_grad_(requires_grad=False)  # type: ignore[no-any-return]  # `load` saw what it is


def weights_digest(model: Model, network: torch.nn.Module | None = None) -> str:
    """SHA-256, in hexadecimal, of the weights: equal for equal weights, whatever file holds and wraps them.

    Args:
        model: of an .onnx model, the file and its external data are digested.
        network: what `build_network` gave for ``model`` and nobody changed, so that it is not built again.
    """
    if model.is_onnx:
        from actors.engines import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.digest(model)
    from actors import checkpoints  # noqa: PLC0415  torch takes seconds to import

    return checkpoints.digest(network or build_network(model))


def file_name(uri: str) -> str:
    """What stands behind the last slash, in lower case, without the query of a signed URL."""
    return (urlsplit(uri).path if is_http(uri) else uri).rpartition("/")[2].lower()


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Makes what goes wrong with a file that the config names a `JobError` that starts with ``where``, or an
    `UnreachableError` where its server is at fault.
    """
    try:
        yield
    except FileNotFoundError:
        raise JobError(f"{where}: no such file", cure="correct the path; every worker must see it") from None
    except (PermissionError, PermissionDeniedError, UnauthenticatedError) as error:
        raise JobError(
            f"{where}: may not be read: {one_line(error)}",
            cure="grant this user the right to read it, or give the keys in model.storage_options",
        ) from None
    except (BaseError, OSError, ValueError) as error:  # ValueError: a path with a null byte
        if not isinstance(error, BaseError) and passing_kind(error) is None:
            raise JobError(f"{where}: cannot be read: {one_line(error)}", cure="give a regular file") from None
        raise UnreachableError(
            f"{where}: the server does not answer as it should: {one_line(error)}\n"
            "  cure: correct the address, or start the job again once the server is reachable from here"
        ) from error


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


def _label_lines(model: Model, where: str) -> list[str]:
    with reading(where):
        data = Storage(model.storage_options).read(model.labels, max_bytes=MAX_LABELS_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JobError(f"{where}: no UTF-8 text: {error}", cure="give a text file with one name a line") from None
    return text.rstrip("\r\n").split("\n") if text.strip() else []


def _checked_labels(where: str, labels: Iterable[object]) -> list[str]:
    names = []
    for number, label in enumerate(labels, start=1):
        # YAML makes numbers of digits, which is harmless, and booleans of yes and no, which is not.
        if not isinstance(label, str | int) or isinstance(label, bool) or not str(label).strip():
            raise JobError(
                f"{where}: entry {number} is {label!r}, not a name",
                cure="give each class a name, in the order of the model's outputs; quote yes, no, on and off",
            )
        names.append(str(label).strip())
    if not names:
        raise JobError(f"{where}: is empty", cure="give one name for each class, or model.labels=null")
    return names
