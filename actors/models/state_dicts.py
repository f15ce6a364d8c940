"""Unwraps the weights that training scripts save: removes surrounding dictionaries, name prefixes and averaged copies.
Used where a checkpoint is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import torch

from actors.errors import JobError

if TYPE_CHECKING:
    from actors.models.spec import Model


class StateDict(dict[str, Any]):
    """Entries by name: tensors, and the extra state of modules.

    Args:
        entries: initial entries.
        versions: version of the module at each path, as torch records them; None if the file has none.
    """

    def __init__(self, entries: Mapping[str, Any] | None = None, *, versions: Any = None) -> None:
        super().__init__(entries or {})
        self._metadata = versions  # `torch.nn.Module.load_state_dict` reads this attribute

    @property
    def versions(self) -> Mapping[str, Any] | None:
        return self._metadata if isinstance(self._metadata, Mapping) else None

    def renamed(self, shorten: Callable[[str], str]) -> StateDict:
        """Returns the same entries, and the versions of their modules, under shorter names."""
        versions = self.versions and {
            # A wrapper and its module get the same path; the inner module comes last, and wins.
            shorten(f"{path}.").removesuffix(".") if path else path: version
            for path, version in sorted(self.versions.items(), key=lambda item: len(str(item[0])))
        }
        return StateDict({shorten(name): value for name, value in self.items()}, versions=versions)


def unwrap(content: object, *, ema: bool, where: str, prefix: str | None = None) -> StateDict:
    """Finds the tensors, and the extra state of modules, in the content of a checkpoint.

    Args:
        content: tensors by name, or nested dictionaries of them.
        ema: take the averaged weights instead of the last ones.
        where: key and value at the start of messages.
        prefix: the requested part of the checkpoint. If it leads into a dictionary other than the usual one, names
            begin with the keys of the surrounding dictionaries.

    Raises:
        JobError: there are no tensors; the message lists the keys that were found.
    """
    if not isinstance(content, Mapping):
        raise JobError(f"{where}: holds a {type(content).__name__}, not a state_dict", fix=RESAVE_FIX)
    tensors = _tensors(_innermost(_averaged(content) if ema else content))
    if ema and not tensors:
        tensors = _flat_averages(_innermost(content))
    elif ema and _is_ema_pytorch(tensors):
        tensors = _flat_averages(tensors)
    if prefix and not ema and not _begin_with(prefix, tensors):
        tensors = nested if _begin_with(prefix, nested := _nested(content)) else tensors
    if tensors:
        return tensors
    keys = ", ".join(map(str, list(content)[:20])) or "none"
    if ema:
        raise JobError(
            f"model.ema=true: {where} holds no averaged weights; its top-level keys: {keys}", fix="set model.ema=false"
        )
    parts = [_path(key, part) for key, part in _parts(content)]
    named = f"name the part to load: {' or '.join(f'model.prefix={part}.' for part in parts)}"
    fix = named if parts else RESAVE_FIX
    fix = f"set model.ema=true, or {named}" if _averaged(content) else fix
    raise JobError(f"{where}: no weights are found in it; its top-level keys: {keys}", fix=fix)


def select(state_dict: StateDict, model: Model) -> StateDict:
    """Selects entries of a checkpoint by ``model.prefix`` and ``model.ignore``.

    Raises:
        JobError: the prefix or a pattern matches no entry.
    """
    prefix = model.prefix and f"{model.prefix.removesuffix('.')}."  # so that encoder does not select encoder2
    if prefix:
        chosen = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        if not chosen:
            raise _matches_nothing(f"model.prefix={model.prefix}", state_dict, model)
        # Versions of other parts remain, under paths that match no module.
        state_dict = StateDict(chosen, versions=state_dict.versions).renamed(methodcaller("removeprefix", prefix))
    for pattern in model.ignore:
        kept = {name: value for name, value in state_dict.items() if not fnmatchcase(name, pattern)}
        if len(kept) == len(state_dict):
            raise _matches_nothing(f"model.ignore={pattern}", state_dict, model)
        state_dict = StateDict(kept, versions=state_dict.versions)
    return state_dict


def prefixes_to(expected: Collection[str], state_dict: StateDict) -> list[str]:
    """Returns the prefixes, including dots, under which ``state_dict`` has every ``expected`` name."""
    first = min(expected, default="")
    heads = sorted(name.removesuffix(first) for name in state_dict if first and name.endswith(f".{first}"))
    return [head for head in heads if all(f"{head}{name}" in state_dict for name in expected)]


def rename(state_dict: Mapping[str, Any], expected: Collection[str]) -> StateDict:
    """Returns the same entries under the names that best match ``expected``: unchanged, or without wrapper prefixes.

    Drops averaged copies, and the counters of averaging, unless expected.
    """
    dropped = {*_EMA_KEYS, "n_averaged", *_EMA_PYTORCH_COUNTERS}  # n_averaged: torch.optim.swa_utils
    kept = {name: v for name, v in state_dict.items() if name in expected or name.partition(".")[0] not in dropped}
    own = StateDict(kept, versions=getattr(state_dict, "_metadata", None))
    return max(_views(own), key=lambda view: len(view.keys() & set(expected)))  # the first of equals


def without_wrappers(state_dict: StateDict) -> StateDict:
    """Returns the same entries under their names outside DistributedDataParallel, FSDP and torch.compile."""
    plain = state_dict.renamed(_without_inserted)
    is_parallel = bool(plain) and all(name.startswith("module.") for name in plain)
    return plain.renamed(methodcaller("removeprefix", "module.")) if is_parallel else plain


RESAVE_FIX = "save only the weights: torch.save(model.state_dict(), path), or safetensors.torch.save_file"

# Keys of training checkpoints, in the order in which they are tried.
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "params", "module")
_EMA_KEYS = (
    "ema",
    "ema_state_dict",
    "ema_model",
    "ema_model_state_dict",
    "ema_weights",
    "model_ema",  # DeiT
    "model_ema_state_dict",
    "state_dict_ema",  # timm
    "params_ema",  # BasicSR
    "averaged_model",
    "teacher",  # DINO
)
_EMA_PYTORCH_COUNTERS = ("initted", "step")
# DistributedDataParallel prefixes each name with module., Lightning with the attribute that holds the network.
_PREFIXES = ("module.", "model.", "network.", "net.", "backbone.", "online_model.")
# Parts that torch.compile, FSDP and activation checkpointing insert anywhere in a name.
_INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MAX_DEPTH = 5  # a dictionary may contain itself


def _averaged(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return next((content[key] for key in _EMA_KEYS if _has_tensors(content.get(key))), {})


def _innermost(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    for _ in range(_MAX_DEPTH):
        inner = next((content[key] for key in (*_WRAPPERS, "shadow") if _has_tensors(content.get(key))), None)
        if inner is None:
            break
        content = inner
    return content


def _parts(content: Mapping[Any, Any]) -> list[tuple[Any, Mapping[Any, Any]]]:
    return [(key, part) for key, part in content.items() if _has_tensors(part) and "optim" not in str(key)]


def _path(key: object, part: Mapping[Any, Any], depth: int = 0) -> str:
    """Returns the keys that lead to the tensors of ``part``, up to the first branch."""
    inner = _parts(part)
    is_end = len(inner) != 1 or any(isinstance(value, torch.Tensor) for value in part.values())
    return str(key) if is_end or depth == _MAX_DEPTH else f"{key}.{_path(*inner[0], depth + 1)}"


def _nested(content: Mapping[Any, Any], path: str = "", depth: int = 0) -> StateDict:
    """Returns all tensors of ``content``, named by the keys that lead to them."""
    found = StateDict()
    for key, value in content.items() if depth <= _MAX_DEPTH else ():
        if isinstance(value, torch.Tensor):
            found[f"{path}{key}"] = value.detach()
        elif isinstance(value, Mapping):
            found.update(_nested(value, f"{path}{key}.", depth + 1))
    return found


def _begin_with(prefix: str, tensors: StateDict) -> bool:
    return any(name.startswith(f"{prefix.removesuffix('.')}.") for name in tensors)


def _has_tensors(value: object, depth: int = 0) -> bool:
    """Returns True if ``value`` is a dictionary with tensors at any depth."""
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return False
    return any(isinstance(item, torch.Tensor) or _has_tensors(item, depth + 1) for item in value.values())


def _tensors(content: Mapping[Any, Any]) -> StateDict:
    """Returns the tensors of ``content``, and the extra state of modules; empty if there is no tensor."""
    # Detached, since a file may hold parameters, which require gradients.
    found = {str(name): value.detach() for name, value in content.items() if isinstance(value, torch.Tensor)}
    extra = {name: value for name, value in content.items() if str(name).endswith("_extra_state")}
    return StateDict({**extra, **found} if found else {}, versions=getattr(content, "_metadata", None))


def _flat_averages(content: Mapping[Any, Any]) -> StateDict:
    """Returns averaged weights stored among the others: they are recognised by a prefix, which is removed."""
    tensors = _tensors(content)
    averages = {name: value for name, value in tensors.items() if _without_average(name) not in (name, "")}
    return StateDict(averages, versions=tensors.versions).renamed(_without_average)


def _without_average(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest if first in _EMA_KEYS else name


def _is_ema_pytorch(tensors: StateDict) -> bool:
    """Returns True for the format of the package ema_pytorch: both models and its counters, and nothing else."""
    parts = {name.partition(".")[0] for name in tensors}
    return "ema_model" in parts and parts <= {"ema_model", "online_model", *_EMA_PYTORCH_COUNTERS}


def _matches_nothing(key: str, state_dict: StateDict, model: Model) -> JobError:
    starts = ", ".join(sorted({name.rpartition(".")[0] or name for name in state_dict})[:10])
    return JobError(
        f"{key}: matches no name in {model.where}; its names begin with {starts}", fix="correct it, or omit it"
    )


def _views(state_dict: StateDict, depth: int = 0) -> Iterator[StateDict]:
    """Yields ``state_dict`` under its own names, then under ever shorter names, as long as they stay distinct."""
    yield state_dict
    if depth == _MAX_DEPTH:
        return
    for shorten in _SHORTENINGS:
        view = state_dict.renamed(shorten)
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
