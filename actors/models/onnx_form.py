"""A whole .onnx model with its own network and precision; its external data may be in further files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.models.model_files import file_name
from actors.models.self_contained import check_alone

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

    from actors.models.graph_file import GraphFile
    from actors.models.spec import Model


class OnnxForm:
    """See `actors.models.forms.ModelForm`."""

    formats = (".onnx",)
    stored_as = "file"
    engines = ("onnxruntime", "openvino")
    has_network = False

    def owns(self, checkpoint: str) -> bool:
        return file_name(checkpoint).endswith(self.formats)

    def check_keys(self, model: Model) -> None:
        check_alone(model)

    def files(self, model: Model) -> list[str]:
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.files(model)

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:  # noqa: ARG002
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.digest(model)

    def network(self, model: Model) -> None:
        """Returns None: ONNX graphs do not run in PyTorch."""

    def graph_file(self, model: Model) -> AbstractContextManager[GraphFile]:
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.local(model)
