"""Builds a network and loads its weights: strictly by name, or with the library that knows how names have changed. Runs
wherever a network is rebuilt.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from actors.messages import one_line
from actors.models.architectures import construct, import_library
from actors.models.checkpoints import MisfitError, load, read_state_dict
from actors.models.detectors import Detector, is_detector, without_eps
from actors.models.masked_detectors import MaskedDetector, takes_mask
from actors.models.transformers_networks import load_transformers, load_whole

if TYPE_CHECKING:
    from torch import nn

    from actors.models.spec import Model
    from actors.models.state_dicts import StateDict


def build(model: Model, weights: StateDict | None = None) -> nn.Module:
    """Returns the network of ``model`` with its weights.

    Args:
        model: the model.
        weights: the content of its checkpoint, if already read, or if it exists only in memory.

    Raises:
        JobError: the architecture cannot be built, the checkpoint cannot be read, or the two do not fit.
    """
    architecture = str(model.architecture)
    library = architecture.partition(":")[0]
    if library == "transformers":
        given = (architecture, model.kwargs, read_state_dict(model, weights), model.where)
        if takes_mask(architecture, model.preprocess):
            return MaskedDetector(load_whole(*given), model.preprocess)
        return load_transformers(*given)
    network = construct(architecture, model.kwargs)
    try:
        load(network, model, weights)
    except MisfitError as misfit:
        if library != "timm" or weights is not None:
            raise
        return _converted_by_timm(model, misfit)
    if not is_detector(network):
        return network  # type: ignore[no-any-return]  # `load` checked it
    without_eps(network, model.checkpoint)
    return Detector(network, model.preprocess)


def _converted_by_timm(model: Model, misfit: MisfitError) -> nn.Module:
    """Returns the network with weights that timm adapts: from a model's first release, for another number of channels,
    or with a classifier that the network lacks. Raises ``misfit`` if they still do not fit.
    """
    name, kwargs = str(model.architecture).partition(":")[2], dict(model.kwargs)
    timm = import_library("timm", f"model.architecture={model.architecture}")
    known = timm.get_pretrained_cfg(name)
    is_headless = kwargs.get("num_classes") == 0
    if is_headless:  # timm would not check the rest of the weights either
        del kwargs["num_classes"]
    if known is None or kwargs.get("num_classes", known.num_classes) != known.num_classes:
        raise misfit
    source = {"state_dict": dict(read_state_dict(model))}
    try:
        network: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=source, **kwargs)
        if is_headless:
            network.reset_classifier(0)
    except Exception as error:
        _LOG.debug("%s: timm cannot convert it: %s", model.where, one_line(error))
        raise misfit from error
    network.pretrained_cfg.pop("state_dict", None)  # frees the memory
    return network  # type: ignore[no-any-return]  # timm is untyped


_LOG = logging.getLogger("shardlens")
