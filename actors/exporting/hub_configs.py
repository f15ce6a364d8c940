"""The config files that timm and Hugging Face libraries read, for architectures that have a name there. Runs where a
bundle is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actors.preprocess import Preprocess, ResizeMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from actors.models.spec import Model


def hub_configs(model: Model, network: nn.Module | None, labels: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Returns ``config.json`` and ``preprocessor_config.json`` by name; empty if the architecture has no name there.

    timm reads only the first, which contains ``pretrained_cfg``.
    """
    package, _, name = (model.architecture or "").partition(":")
    if network is None:
        return {}
    if package == "timm":
        config = _timm_config(model, name, network, labels)
    elif package == "transformers" and hasattr(own := getattr(network, "model", network), "config"):  # in our wrapper
        config = _transformers_config(own, labels)
    else:
        return {}
    processor = processor_config(model.preprocess)
    return {"config.json": config, **({"preprocessor_config.json": processor} if processor else {})}


def processor_config(preprocess: Preprocess) -> dict[str, Any] | None:
    """Returns the pre-processing as a transformers image processor config; None if it cannot express a step."""
    usual = Preprocess()
    if any(getattr(preprocess, name) != getattr(usual, name) for name in _OTHER_STEPS):
        return None
    height, width = preprocess.size
    resize = preprocess.resize
    return {
        "image_processor_type": "CLIPImageProcessor",  # it supports every step given here
        "do_resize": resize is not None,
        "size": {"shortest_edge": resize} if isinstance(resize, int) else _sides(resize or [height, width]),
        "resample": _RESAMPLE[preprocess.interpolation.value],
        "do_center_crop": preprocess.crop is not None,
        "crop_size": _sides([height, width]),
        "do_rescale": True,
        "rescale_factor": preprocess.rescale_factor,
        "do_normalize": True,
        "image_mean": preprocess.mean,
        "image_std": preprocess.std,
        "do_convert_rgb": True,
    }


_OTHER_STEPS = (
    "resize_mode",
    "resize_limit",
    "antialias",
    "pad_position",
    "channels",
    "channel_order",
    "layout",
    "standardize",
)
_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4}  # Pillow's numbers


def _sides(size: Sequence[int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}


def _timm_config(model: Model, name: str, network: Any, labels: Sequence[str] | None) -> dict[str, Any]:
    preprocess, own = model.preprocess, dict(getattr(network, "pretrained_cfg", None) or {})
    height, width = preprocess.size
    scale = 255 * preprocess.rescale_factor  # timm's mean and std are for pixels from 0 to 1
    architecture, _, tag = name.partition(".")
    num_classes = int(getattr(network, "num_classes", model.kwargs.get("num_classes", 1000)))
    own |= {
        "tag": tag or own.get("tag") or "",
        "custom_load": False,
        "input_size": [preprocess.channels, height, width],
        "interpolation": preprocess.interpolation.value,
        "crop_pct": _crop_pct(preprocess),
        "crop_mode": _crop_mode(preprocess),
        "mean": [value / scale for value in preprocess.mean],
        "std": [value / scale for value in preprocess.std],
        "num_classes": num_classes,
    }
    args = {key: value for key, value in model.kwargs.items() if key != "num_classes"}
    return {
        "architecture": architecture,
        "num_classes": num_classes,
        "num_features": int(getattr(network, "num_features", 0)),
        **({"global_pool": network.global_pool} if isinstance(getattr(network, "global_pool", None), str) else {}),
        **({"label_names": list(labels)} if labels else {}),
        **({"model_args": args} if args else {}),
        "pretrained_cfg": {key: value for key, value in own.items() if key not in _ORIGIN},
    }


# Keys about the weights that timm would download, which are not these.
_ORIGIN = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "hf_hub_revision", "source", "architecture")


def _crop_mode(preprocess: Preprocess) -> str:
    if preprocess.resize_mode is ResizeMode.longest_side:
        return "border"
    return "squash" if isinstance(preprocess.resize, list) else "center"


def _crop_pct(preprocess: Preprocess) -> float:
    """Returns the ratio of the crop to the shorter side of the resize, like timm."""
    if preprocess.crop is None or preprocess.resize is None:
        return 1.0
    shorter = preprocess.resize if isinstance(preprocess.resize, int) else min(preprocess.resize)
    return float(min(preprocess.size)) / shorter


def _transformers_config(network: Any, labels: Sequence[str] | None) -> dict[str, Any]:
    config: dict[str, Any] = network.config.to_dict()
    config["architectures"] = [type(network).__name__]
    if labels:
        config["id2label"] = {str(place): label for place, label in enumerate(labels)}
        config["label2id"] = {label: place for place, label in enumerate(labels)}
    return config
