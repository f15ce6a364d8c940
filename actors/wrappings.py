"""What training scripts wrap weights in, undone: dictionaries around them, prefixes before their names, averaged
copies beside them. Used where a checkpoint is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from operator import methodcaller
from typing import Any

import torch

from actors.errors import JobError

StateDict = dict[str, torch.Tensor]


def unwrap(content: object, *, ema: bool, where: str) -> StateDict:
    """The tensors by name that stand in what a training script saved; all that is no tensor is left out.

    Args:
        content: tensors by name, or dictionaries that hold such.
        ema: take the averaged weights beside the last ones.
        where: the key and value that messages start with.

    Raises:
        JobError: nothing of the kind stands there; the message lists the keys that do.
    """
    if not isinstance(content, Mapping):
        raise JobError(f"{where}: holds a {type(content).__name__}, no state_dict", cure=RESAVE_CURE)
    tensors = _tensors(_innermost(_averaged(content) if ema else content))
    if ema and not tensors:
        tensors = _flat_averages(_innermost(content))
    if tensors:
        return tensors
    keys = ", ".join(map(str, list(content)[:20])) or "none"
    if ema:
        raise JobError(
            f"model.ema=true: {where} holds no averaged weights; its top-level keys: {keys}", cure="set model.ema=false"
        )
    cure = "set model.ema=true" if _averaged(content) else RESAVE_CURE
    raise JobError(f"{where}: no weights are found in it; its top-level keys: {keys}", cure=cure)


def rename(state_dict: StateDict, expected: Collection[str]) -> StateDict:
    """The same tensors under the names that fit ``expected`` best: as they are, or without what wrappers put before.

    Averaged copies beside the weights, and the counter that torch's AveragedModel adds, go unless expected.
    """
    own = {
        name: tensor
        for name, tensor in state_dict.items()
        if name in expected or (name.partition(".")[0] not in _EMA_KEYS and name != "n_averaged")
    }
    return max(_views(own), key=lambda view: len(view.keys() & set(expected)))  # the first of equals


RESAVE_CURE = "save the weights alone: torch.save(model.state_dict(), path), or safetensors.torch.save_file"

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params", "module")
_EMA_KEYS = (
    "ema",
    "ema_state_dict",
    "ema_model",
    "ema_model_state_dict",
    "ema_weights",
    "model_ema",
    "model_ema_state_dict",
    "state_dict_ema",
    "params_ema",
    "averaged_model",
    "teacher",
)
_PREFIXES = ("module.", "model.", "network.", "net.", "backbone.")
# Parts that torch.compile, FSDP and activation checkpointing put anywhere into a name.
_INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MAX_DEPTH = 5  # a dictionary may hold itself


def _averaged(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return next((content[key] for key in _EMA_KEYS if _has_tensors(content.get(key))), {})


def _innermost(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    for _ in range(_MAX_DEPTH):
        inner = next((content[key] for key in (*_WRAPPERS, "shadow") if _has_tensors(content.get(key))), None)
        if inner is None:
            break
        content = inner
    return content


def _has_tensors(value: object, depth: int = 0) -> bool:
    """Whether ``value`` is a dictionary that leads to tensors."""
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return False
    return any(isinstance(item, torch.Tensor) or _has_tensors(item, depth + 1) for item in value.values())


def _tensors(content: Mapping[Any, Any]) -> StateDict:
    return {str(name): value.detach() for name, value in content.items() if isinstance(value, torch.Tensor)}


def _flat_averages(content: Mapping[Any, Any]) -> StateDict:
    """Averaged weights that stand among the others, told by how their names start; without that start."""
    parts = {name: name.partition(".") for name in _tensors(content)}
    return {rest: content[name].detach() for name, (first, _, rest) in parts.items() if rest and first in _EMA_KEYS}


def _views(state_dict: StateDict, depth: int = 0) -> Iterator[StateDict]:
    """``state_dict`` under its own names, then with ever more taken off them, as long as they stay distinct."""
    yield state_dict
    if depth == _MAX_DEPTH:
        return
    for shorten in _SHORTENINGS:
        view = {shorten(name): tensor for name, tensor in state_dict.items()}
        if len(view) == len(state_dict) and view.keys() != state_dict.keys():
            yield from _views(view, depth + 1)


def _without_inserted(name: str) -> str:
    for part in _INSERTED:
        name = name.replace(part, "")
    return name


_SHORTENINGS: tuple[Callable[[str], str], ...] = (
    _without_inserted,
    *(methodcaller("removeprefix", prefix) for prefix in _PREFIXES),
)
