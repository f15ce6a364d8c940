"""Loads the weights of a checkpoint into a network, strictly. Runs on the driver and once in each worker."""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from actors.errors import JobError
from actors.models.hub_files import is_hub
from actors.models.model_files import file_name
from actors.models.node_copies import local_copy
from actors.models.state_dicts import StateDict, prefixes_to, rename, select, unwrap
from actors.models.weight_files import read_weights
from actors.models.weight_index import SHARD_FIX, is_index, is_shard, read_index
from actors.storage.store import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from actors.models.spec import Model


class MisfitError(JobError):
    """Weights and network do not fit."""


def read_state_dict(model: Model, weights: StateDict | None = None) -> StateDict:
    """Returns the weights that the keys of ``model`` select from its checkpoint, or from ``weights`` if given, under
    the names in the file.

    Raises:
        JobError: the checkpoint cannot be read, or holds no such weights.
    """
    if weights is not None:
        return select(weights, model)
    if is_hub(model.checkpoint):
        content = read_weights(model.checkpoint, Storage(model.storage_options))
    else:
        with local_copy(model, _shards, kind="shard") as path:
            content = read_weights(str(path), Storage(), shown=model.checkpoint)
    return select(unwrap(content, ema=model.ema, where=model.where, prefix=model.prefix), model)


def load(network: object, model: Model, weights: StateDict | None = None) -> None:
    """Loads the weights of ``model``, or ``weights`` if given, into ``network``, which its architecture built.

    Raises:
        JobError: ``network`` is not a torch.nn.Module, or the checkpoint cannot be read.
        MisfitError: the two do not fit.
    """
    if not isinstance(network, torch.nn.Module):
        raise JobError(
            f"model.architecture={model.architecture}: returns a {type(network).__name__}, not a torch.nn.Module",
            fix="name a class or a function that returns the network",
        )
    # Checked before loading: loading makes the parameters ordinary, while their modules stay lazy until the first call.
    is_unfinished = any(map(is_lazy, _entries_of(network).values()))
    whole = read_state_dict(model, weights)
    state_dict = rename(whole, _entries_of(network).keys())
    try:
        _load_at_its_version(network, state_dict, model)
    except JobError as error:
        raise MisfitError(error.problem, fix=_fit_fix(network, whole, state_dict, model) or error.fix) from error
    if is_unfinished:
        _finish(network, model)


def load_strictly(network: torch.nn.Module, state_dict: Mapping[str, Any], *, where: str) -> None:
    """Copies every entry of ``state_dict`` into the entry of ``network`` of the same name.

    Modules upgrade entries from older versions by ``state_dict._metadata``, as in torch.

    Raises:
        JobError: entries are missing, unexpected, or of the wrong shape or kind of number; all are reported at once.
    """
    own = _entries_of(network)
    # Removed first: even with strict=False, load_state_dict raises for a wrong shape, and converts integers silently.
    misfits = {name: value for name, value in state_dict.items() if name in own and not _fits(name, value, own[name])}
    kept = {name: value for name, value in state_dict.items() if name not in misfits}
    fitting = StateDict(kept, versions=getattr(state_dict, "_metadata", None))
    try:
        # Modules may map old names to new names while loading, so comparing names here would be wrong.
        missing, unexpected = network.load_state_dict(fitting, strict=False)
    except Exception as error:  # set_extra_state and module hooks are the user's code
        raise JobError(
            f"{where}: does not load: {type(error).__name__}: {' '.join(str(error).split())[:500]}", fix=_FIT_FIX
        ) from error
    problems = {
        "missing": [name for name in missing if name not in misfits],
        "unexpected": unexpected,
        "wrong shape": [f"{name} is {_compared(misfit, own[name])}" for name, misfit in misfits.items()],
    }
    if any(problems.values()):
        listed = "; ".join(f"{problem}: {_some(names)}" for problem, names in problems.items() if names)
        raise JobError(f"{where}: does not fit the network. {listed}", fix=_FIT_FIX)


def digest(network: torch.nn.Module) -> str:
    """Returns the SHA-256, in hexadecimal, of the names, dtypes, shapes and bytes of all tensors, in order of name, and
    of the plain values of extra state.
    """
    total = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        for path, leaf in _leaves(name, value):
            if not isinstance(leaf, torch.Tensor):
                total.update(f"{path} {leaf!r}\n".encode())
                continue
            total.update(f"{path} {leaf.dtype} {tuple(leaf.shape)}\n".encode())
            # As bytes, since NumPy has no bfloat16; flat, since a scalar has no axis to view as another size.
            total.update(leaf.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


_FIT_FIX = "set model.architecture and model.kwargs (such as num_classes) to those of the saved network"
_EXTRA_STATE = "_extra_state"  # suffix of the entries from get_extra_state
_MAX_LISTED = 5  # names in a message; a network has hundreds
_PLAIN = (torch.Tensor, bool, int, float, complex, str, bytes, type(None))


def _shards(path: Path) -> list[str]:
    return sorted(set(read_index(str(path), Storage()).values())) if is_index(str(path)) else []


def _load_at_its_version(network: torch.nn.Module, state_dict: StateDict, model: Model) -> None:
    """Loads with the module versions recorded in the file.

    A safetensors file records none, which torch treats as older than all versions, so modules would convert entries
    that are already up to date. So current versions are tried first, and old ones only if those do not fit.
    """
    is_silent = state_dict.versions is None and ".safetensors" in file_name(model.checkpoint)
    if is_silent:
        present = StateDict(state_dict, versions=getattr(network.state_dict(), "_metadata", None))
        try:
            load_strictly(network, present, where=model.where)
        except JobError as error:
            try:
                load_strictly(network, state_dict, where=model.where)
            except JobError:
                raise error from None
        return
    load_strictly(network, state_dict, where=model.where)


def _finish(network: torch.nn.Module, model: Model) -> None:
    """Runs one blank image, which turns lazy layers into ordinary layers that can be exported and compiled."""
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *model.preprocess.input_shape))
    except Exception as error:
        raise JobError(
            f"model.architecture={model.architecture}: its lazy layers do not run on a blank image with the weights of "
            f"{model.where}: {' '.join(str(error).split())[:300]}",
            fix="give model.preprocess.crop the size that the model takes, or the architecture that was saved",
        ) from error


def _fit_fix(network: torch.nn.Module, whole: StateDict, state_dict: StateDict, model: Model) -> str | None:
    """Returns the fix if a key other than the architecture is at fault."""
    own = _entries_of(network).keys()
    if is_shard(model.checkpoint):
        return SHARD_FIX
    prefixes = [] if own <= state_dict.keys() else prefixes_to(own, whole)
    if prefixes:
        return f"name the part to load: {' or '.join(f'model.prefix={prefix}' for prefix in prefixes[:_MAX_LISTED])}"
    strangers = sorted(state_dict.keys() - own)
    if own <= state_dict.keys() and strangers:
        first = sorted({name.partition(".")[0] for name in own})
        groups = {name.partition(".")[0] for name in strangers}
        patterns = sorted(f"{group}.*" if group not in strangers else group for group in groups - set(first))
        if patterns and all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in strangers):
            listed = ",".join(patterns[:_MAX_LISTED]) + (",…" if len(patterns) > _MAX_LISTED else "")
            return f"if the network runs without them, leave them out: model.ignore=[{listed}]"
    return None


def _entries_of(network: torch.nn.Module) -> dict[str, Any]:
    return dict(network.state_dict())


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yields the tensors and plain values inside ``value``. Omits objects, which have no stable text form."""
    if isinstance(value, _PLAIN):
        yield path, value
    elif isinstance(value, dict):
        for key in sorted(value, key=repr):  # keys of several types cannot be compared
            yield from _leaves(f"{path}.{key}", value[key])
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _leaves(f"{path}.{place}", item)


def _fits(name: str, value: Any, own: Any) -> bool:
    """Returns True if ``value`` may be loaded. Integers in place of reals are quantised weights, and would load as
    noise.
    """
    if name.endswith(_EXTRA_STATE):
        return True  # only the module knows its type
    if not isinstance(value, torch.Tensor) or not isinstance(own, torch.Tensor):
        return False
    is_same_kind = value.is_floating_point() == own.is_floating_point()
    return is_same_kind and (is_lazy(own) or value.shape == own.shape)


def _compared(value: Any, own: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__} in the checkpoint, a tensor in the network"
    seen: tuple[object, object] = (value.dtype, own.dtype)
    if not is_lazy(own) and value.shape != own.shape:
        seen = (tuple(value.shape), tuple(own.shape))
    return f"{seen[0]} in the checkpoint, {seen[1]} in the network"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more
