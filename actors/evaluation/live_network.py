"""Rebuilds a network in training from its architecture, with its current weights or their averages. Runs in the
training process, before each evaluation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from actors.engines.configs import Gate, TorchEngineConfig
from actors.errors import JobError
from actors.models.network_building import build
from actors.models.state_dicts import StateDict, rename, without_wrappers
from actors.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.models.spec import Model

    Averages = torch.nn.Module | Mapping[str, Any]


def live_recipe(given: Recipe | Model) -> Recipe:
    """Returns the recipe without its checkpoint: weights come from a network in memory.

    Raises:
        JobError: the model has no architecture, or the engine is not PyTorch.
    """
    model = given.model if isinstance(given, Recipe) else given
    model = replace(model, checkpoint=LIVE, source="", sha256="", ema=False, form="auto")
    model.check_form()
    recipe = replace(given, model=model) if isinstance(given, Recipe) else Recipe(model)
    if not isinstance(recipe.engine, TorchEngineConfig):
        raise JobError(
            f"engine={recipe.engine.name}: runs no network that is in training",
            fix="evaluate with engine=torch, and compare the engine when the checkpoint is saved",
        )
    # The reference would be built from a checkpoint, and there is none.
    return replace(recipe, engine=replace(recipe.engine, gate=Gate.off))


def live_network(model: Model, network: torch.nn.Module, averages: Averages | None = None) -> torch.nn.Module:
    """Returns ``model``'s network on the CPU in evaluation mode, without gradients, with copied weights and buffers.

    Args:
        model: from `live_recipe`. Its ``prefix`` and ``ignore`` select entries, as in a checkpoint.
        network: the network in training, possibly wrapped in DistributedDataParallel, FSDP, torch.compile, or a module
            of the training framework. If it is sharded, every rank must call.
        averages: a module, such as `torch.optim.swa_utils.AveragedModel`, or weights by name. Missing buffers come from
            ``network``.

    Raises:
        JobError: the architecture cannot be built, or the weights do not fit it.
    """
    weights = _weights(network)
    if averages is not None:
        weights = _averaged(weights, _weights(averages), network)
    return build(model, weights).eval().requires_grad_(requires_grad=False)


# Takes the place of a file: it is never opened. The suffix says that it contains only weights.
LIVE = "(the network in training).safetensors"


def _weights(source: Averages) -> StateDict:
    entries = source.state_dict() if isinstance(source, torch.nn.Module) else source
    # A sharded tensor is gathered from all ranks.
    whole = {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in entries.items()}
    detached = {name: value.detach() if isinstance(value, torch.Tensor) else value for name, value in whole.items()}
    return without_wrappers(StateDict(detached, versions=getattr(entries, "_metadata", None)))


def _averaged(weights: StateDict, averages: StateDict, network: torch.nn.Module) -> StateDict:
    """Returns ``weights`` with ``averages`` substituted. Raises `JobError` if any average is missing."""
    frozen = {name: value for name, value in network.named_parameters() if not value.requires_grad}
    optional = without_wrappers(StateDict({**frozen, **dict(network.named_buffers())})).keys()
    trained = StateDict({name: v for name, v in weights.items() if name not in optional and torch.is_tensor(v)})
    found = rename(averages, weights.keys())
    if found.keys().isdisjoint(weights):  # the averages cover only the network inside the framework's module
        weights, trained = rename(weights, averages.keys()), rename(trained, averages.keys())
    if missing := [name for name in trained if name not in found]:
        raise JobError(
            f"ema: lacks {len(missing)} of the {len(trained)} weights in training, such as {missing[0]}",
            fix="give the averages of all of them, such as AveragedModel(network)",
        )
    used = {name: value for name, value in found.items() if name in weights}
    return StateDict({**weights, **used}, versions=weights.versions)
