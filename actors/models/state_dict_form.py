"""Weights saved by training, for an architecture named in the config: one file, or the index of several shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.models.architectures import ARCHITECTURE_FIX, check_architecture
from actors.models.model_files import file_name
from actors.models.torchscript_form import TorchScriptForm
from actors.models.weight_index import INDEX_SUFFIXES, weight_files
from actors.storage.store import Storage

if TYPE_CHECKING:
    import torch

    from actors.models.spec import Model


class StateDictForm:
    """See `actors.models.forms.ModelForm`."""

    formats = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pt.tar", ".pth.tar", *INDEX_SUFFIXES)
    stored_as = "file"
    engines = ("torch", "onnxruntime", "openvino")
    has_network = True

    def owns(self, checkpoint: str) -> bool:
        return file_name(checkpoint).endswith(self.formats) and not TorchScriptForm().owns(checkpoint)

    def check_keys(self, model: Model) -> None:
        if model.architecture is None:
            raise JobError(
                f"model.architecture is not given, and {model.where} contains only weights",
                fix=f"{ARCHITECTURE_FIX}; an OpenVINO IR is named by its .xml file; a TorchScript archive needs "
                "none, but model.sha256: see docs/models.md",
            )
        check_architecture(model.architecture)

    def files(self, model: Model) -> list[str]:
        return weight_files(model.checkpoint, Storage(model.storage_options))

    def digest(self, model: Model, network: torch.nn.Module | None = None) -> str:
        from actors.models import checkpoints  # noqa: PLC0415  torch takes seconds to import

        return checkpoints.digest(self.network(model) if network is None else network)

    def network(self, model: Model) -> torch.nn.Module:
        from actors.models.network_building import build  # noqa: PLC0415  torch takes seconds to import

        return build(model).eval().requires_grad_(requires_grad=False)

    def graph_file(self, model: Model) -> None:
        """Returns None: the file is exported from the network."""
