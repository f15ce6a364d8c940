"""An OpenVINO IR: a graph in .xml, and its weights in the .bin file beside it. Holds no code."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.models.graph_file import GraphFile
from actors.models.model_files import base_name, file_name, sibling
from actors.models.node_copies import local_copy
from actors.models.self_contained import check_alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import torch

    from actors.models.spec import Model


class OpenVinoForm:
    """See `actors.models.forms.ModelForm`."""

    formats = (".xml",)
    stored_as = "file"
    engines = ("openvino",)
    has_network = False

    def owns(self, checkpoint: str) -> bool:
        return file_name(checkpoint).endswith(self.formats)

    def check_keys(self, model: Model) -> None:
        check_alone(model)

    def files(self, model: Model) -> list[str]:
        return [model.checkpoint, sibling(model.checkpoint, _weights_name(model))]

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:  # noqa: ARG002
        total = hashlib.sha256()
        with local_copy(model, _siblings(model), kind=_KIND) as path:
            for file in (path, path.with_suffix(".bin")):
                with file.open("rb") as content:
                    total.update(hashlib.file_digest(content, "sha256").digest())
        return total.hexdigest()

    def network(self, model: Model) -> None:
        """Returns None: an IR does not run in PyTorch."""

    @contextmanager
    def graph_file(self, model: Model) -> Iterator[GraphFile]:
        with local_copy(model, _siblings(model), kind=_KIND) as path:
            yield GraphFile(path, _precision(path.read_bytes()))


_KIND = "file of weights"
# A constant, as written by OpenVINO.
_CONSTANT = re.compile(rb'<data element_type="(\w+)" shape="([\d, ]*)"')
_TYPES = {b"f32": "fp32", b"f16": "fp16", b"bf16": "bf16", b"i8": "int8", b"u8": "int8", b"i4": "int8", b"u4": "int8"}


def _weights_name(model: Model) -> str:
    return f"{base_name(model.checkpoint)[: -len('.xml')]}.bin"


def _siblings(model: Model) -> Callable[[Path], Sequence[str]]:
    return lambda _: [_weights_name(model)]


def _precision(xml: bytes) -> str:
    """Returns the format of most weights, as in `actors.models.graph_file.GraphFile`."""
    elements: Counter[str] = Counter()
    for element_type, shape in _CONSTANT.findall(xml):
        if name := _TYPES.get(element_type):
            elements[name] += math.prod(int(length) for length in shape.split(b",") if length.strip())
    return max(elements, key=elements.__getitem__, default="fp32")
