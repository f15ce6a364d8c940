"""torchvision models, by name and weights (``torchvision:NAME:WEIGHTS``), as recorded in the weights enum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.architectures import import_library, require_name
from actors.models.hub_files import TORCH_HUB
from actors.models.sources.base import Record
from actors.models.sources.preprocess_records import from_torchvision

if TYPE_CHECKING:
    from actors.models.sources.base import Source


class TorchvisionSource:
    """See `actors.models.sources.base.SourceReader`."""

    def owns(self, source: Source) -> bool:
        return source.library == "torchvision"

    def read(self, source: Source) -> Record:
        name, _, chosen = source.name.partition(":")
        known = weights_of(name, source.where)
        if chosen and chosen != "DEFAULT":
            require_name(chosen, list(known), source.where)
        weights = known.get(chosen) or _default(known, name, source)
        return Record(
            architecture=f"torchvision:{name}",
            kwargs=kwargs_of(name),
            checkpoint=f"{TORCH_HUB}{weights.url}",
            labels=list(map(str, weights.meta.get("categories") or ())) or None,
        ).prepared(from_torchvision, transforms_of(name, weights))


def weights_of(name: str, where: str) -> dict[str, Any]:
    """Returns the entries of a model's weights enum by name, oldest first.

    Raises:
        JobError: torchvision has no such model, or cannot be imported; begins with ``where``.
    """
    zoo = import_library("torchvision.models", where)
    require_name(name, zoo.list_models(), where)
    return dict(zoo.get_model_weights(name).__members__)


def transforms_of(name: str, weights: Any) -> Any:
    """Returns the transforms for `from_torchvision`: those of the weights, or the equivalent part of a detector."""
    transforms = weights.transforms()
    if type(transforms).__name__ != "ObjectDetection":
        return transforms
    import torch  # noqa: PLC0415  torchvision has already imported it

    zoo = import_library("torchvision.models", name)
    with torch.device("meta"):  # avoids the memory and time for the weights
        return zoo.get_model(name, weights=None, weights_backbone=None).transform


def kwargs_of(name: str) -> dict[str, Any]:
    """Returns the arguments that torchvision itself adds when it loads its weights into a model of this name."""
    # These weights come from TensorFlow: the network converts ImageNet's normalisation to -1..1.
    return {"transform_input": True} if name in TRANSFORMING else {}


TRANSFORMING = ("googlenet", "inception_v3")


def _default(known: dict[str, Any], name: str, source: Source) -> Any:
    if "DEFAULT" in known:
        return known["DEFAULT"]
    raise JobError(
        f"{source.where}: torchvision has no weights for {name}", fix="set model.architecture and model.checkpoint"
    )
