"""A whole .onnx model, which brings its own network and precision; its external data may lie in more files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.model_files import file_name

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch

    from actors.models.onnx_files import OnnxFile
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
        given = [name for name in _UNSET if getattr(model, name)]
        if given:
            seen = ", ".join(f"model.{name}={getattr(model, name)}" for name in given)
            cure = " ".join(f"model.{name}={_UNSET[name]}" for name in given)
            raise JobError(
                f"{model.where}: holds its own network, yet {seen}", cure=f"set {cure}, or give a state_dict"
            )

    def files(self, model: Model) -> list[str]:
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.files(model)

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:  # noqa: ARG002
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.digest(model)

    def network(self, model: Model) -> None:
        """None: ONNX graphs do not run in PyTorch."""

    def onnx_file(self, model: Model) -> AbstractContextManager[OnnxFile]:
        from actors.models import onnx_files  # noqa: PLC0415  a state_dict needs no onnx

        return onnx_files.local(model)


# What the config calls a key that a state_dict needs and this form must not have.
_UNSET = {"architecture": "null", "kwargs": "{}", "ema": "false", "prefix": "null", "ignore": "[]"}
