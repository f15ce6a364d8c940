"""timm models, by name and tag (``timm:NAME.TAG``), and folders saved by timm. Everything relevant is in the
``pretrained_cfg``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.models.architectures import import_library, require_name
from actors.models.hub_files import HUGGING_FACE, TORCH_HUB
from actors.models.sources.base import Record
from actors.models.sources.preprocess_records import from_timm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.models.sources.base import Source


class TimmSource:
    """See `actors.models.sources.base.SourceReader`."""

    def owns(self, source: Source) -> bool:
        return source.library == "timm"

    def read(self, source: Source) -> Record:
        cfg = pretrained_cfg(source.name, source.where)
        return Record(
            architecture=f"timm:{source.name}",
            checkpoint=_weights(cfg, source),
            labels=labels_of(cfg),
        ).prepared(from_timm, cfg)


def pretrained_cfg(name: str, where: str) -> dict[str, Any]:
    """Returns timm's record of ``NAME`` or ``NAME.TAG``, without its nulls. The default tag is timm's.

    Raises:
        JobError: timm has no such model or tag, or cannot be imported; begins with ``where``.
    """
    timm = import_library("timm", where)
    architecture, _, tag = name.partition(".")
    require_name(architecture, timm.list_models(), where)
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag:
        require_name(tag, tags, where)
    cfg = timm.get_pretrained_cfg(name)
    return dict(cfg.to_dict()) if cfg else {}


def labels_of(cfg: Mapping[str, Any]) -> list[str] | None:
    """Returns the class names in the record, or ImageNet's if the number of classes matches one of its subsets."""
    return own_labels(cfg) or imagenet_labels(cfg.get("num_classes"))


def own_labels(cfg: Mapping[str, Any]) -> list[str] | None:
    """Returns the class names in the record itself."""
    names, descriptions = cfg.get("label_names"), cfg.get("label_descriptions") or {}
    if isinstance(names, dict):  # sparse, by number
        names = [names[key] for key in sorted(names, key=int)] if len(names) == cfg.get("num_classes") else None
    return [str(descriptions.get(name, name)) for name in names] if names else None


def imagenet_labels(num_classes: int | None) -> list[str] | None:
    """Returns the class names of the ImageNet subset with this number of classes."""
    data = import_library("timm.data", "model.labels")
    subset = data.infer_imagenet_subset({"num_classes": num_classes})
    return list(data.ImageNetInfo(subset).label_descriptions()) if subset else None


def _weights(cfg: Mapping[str, Any], source: Source) -> tuple[str, ...]:
    """Returns the URIs of the weights in timm's own order: first the Hugging Face hub, in safetensors if available."""
    if repository := cfg.get("hf_hub_id"):
        file = cfg.get("hf_hub_filename") or "pytorch_model.bin"
        return tuple(f"{HUGGING_FACE}{repository}/{name}" for name in (*_SAFER.get(file, ()), file))
    url = cfg.get("url")
    if isinstance(url, str) and url and not cfg.get("custom_load"):
        return (f"{TORCH_HUB}{url}",)
    raise JobError(
        f"{source.where}: timm has no weights for it" + " that load safely" * bool(url),
        fix="name a tag, as timm.list_pretrained() shows them, or set model.architecture and model.checkpoint",
    )


_SAFER = {
    "pytorch_model.bin": ("model.safetensors",),
    "open_clip_pytorch_model.bin": ("open_clip_model.safetensors",),
}
