"""Finds the code of a network by the name in the config: a callable of the user's, or a model of timm, torchvision or
transformers. Runs wherever a network is rebuilt. The content of a checkpoint never decides which code runs.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from functools import partial, reduce
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

from actors.errors import JobError
from actors.messages import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType


def check_architecture(architecture: str) -> None:
    """Raises `JobError` if ``architecture`` is malformed; imports nothing."""
    module, _, name = architecture.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or not name or ":" in name:
        raise JobError(f"model.architecture={architecture}: names no module and callable", fix=ARCHITECTURE_FIX)


def construct(architecture: str, kwargs: Mapping[str, Any]) -> Any:
    """Calls ``architecture`` with ``kwargs``, without pretrained weights.

    Raises:
        JobError: the callable does not exist, cannot be imported, or raises.
    """
    check_architecture(architecture)
    where = f"model.architecture={architecture}"
    build = _builder(architecture, where)
    try:
        return build(**kwargs)
    except Exception as error:
        raise JobError(
            f"{where} with model.kwargs={dict(kwargs)}: {type(error).__name__}: {one_line(error)}",
            fix="pass its arguments in model.kwargs, or correct its code",
        ) from error


def import_library(module: str, where: str) -> ModuleType:
    """Imports ``module`` of an optional library. If that fails, raises a `JobError` that begins with ``where``."""
    library = module.partition(".")[0]
    install = f"pip install 'shardlens[{library}]'"
    try:
        return _import(module, where, fix=install)
    except JobError as error:
        if error.fix == _CODE_FIX:  # such as torchvision's operators, compiled for another torch
            fix = _PAIR_FIX.format(installed=_installed()) if "torchvision" in error.problem else f"reinstall {library}"
            raise JobError(error.problem, fix=fix) from error
        raise


def _installed() -> str:
    """Returns versions for a message, including the build, such as 2.13.0+cpu."""
    named = [dist for name in ("torch", "torchvision") for dist in distributions(name=name)]
    return " and ".join(f"{dist.name} {dist.version}" for dist in named)


# pip keeps a build for another CUDA, or for the CPU: its version is the requested one.
_PAIR_FIX = (
    "{installed} do not fit each other: torchvision must be built for this torch, CPU or CUDA alike; uninstall both, "
    "and install them together from one index: pip install torch torchvision"
)


def require_name(name: str, known: Iterable[str], where: str) -> None:
    """Raises a `JobError` that begins with ``where`` and lists the closest names if ``name`` is not ``known``."""
    names = list(known)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=3) or (names if len(names) <= _MAX_LISTED else [])
    raise JobError(
        f"{where}: there is no {name} in it",
        fix=f"did you mean {' or '.join(close)}?" if close else "correct the name after the colon",
    )


ARCHITECTURE_FIX = (
    "set model.architecture to package.module:callable, timm:NAME, torchvision:NAME or transformers:NAME, or name the "
    "whole model in model.source"
)
_CODE_FIX = "correct its code"
_MAX_LISTED = 8  # names in a message


def _builder(architecture: str, where: str) -> Callable[..., Any]:
    package, _, name = architecture.partition(":")
    if package in _LIBRARIES:
        return _LIBRARIES[package](name, where)
    module = _import(package, where, fix=f"put the folder that contains {package.partition('.')[0]} on PYTHONPATH")
    first, *rest = name.split(".")
    if first.startswith("__") or not hasattr(module, first):  # a package may import on demand what its dictionary lacks
        # Python's own error for a missing name does not list the closest names.
        require_name(first, [key for key in dir(module) if not key.startswith("__")], where)
    try:
        found = reduce(getattr, rest, getattr(module, first))
    except AttributeError as error:
        raise JobError(f"{where}: {one_line(error)}", fix="correct the name after the colon") from None
    if callable(found):
        return found  # type: ignore[no-any-return]  # a user's module is untyped
    raise JobError(f"{where}: is a {type(found).__name__}, and cannot be called", fix=ARCHITECTURE_FIX)


def _timm(name: str, where: str) -> Callable[..., Any]:
    timm = import_library("timm", where)
    require_name(name.partition(".")[0], timm.list_models(), where)  # the part after a dot names pretrained weights
    return partial(timm.create_model, name, pretrained=False)


def _torchvision(name: str, where: str) -> Callable[..., Any]:
    zoo = import_library("torchvision.models", where)
    require_name(name, zoo.list_models(), where)
    # Detectors and segmenters download weights for their backbone by default.
    takes = inspect.signature(zoo.get_model_builder(name)).parameters
    settings: dict[str, Any] = {key: None for key in ("weights", "weights_backbone") if key in takes}
    if name in _SLOWLY_INITIALISED:
        settings["init_weights"] = False
    return partial(zoo.get_model, name, **settings)


_SLOWLY_INITIALISED = ("googlenet", "inception_v3")  # with random numbers that the checkpoint replaces; takes seconds


_LIBRARIES = {"timm": _timm, "torchvision": _torchvision}


def _import(module: str, where: str, *, fix: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # What is missing is either the module or a parent package, or something that it imports.
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise JobError(f"{where}: no module named {error.name}", fix=fix) from None
        raise JobError(
            f"{where}: importing {module} failed: {one_line(error)}", fix=f"pip install {error.name}, or correct it"
        ) from error
    except Exception as error:
        raise JobError(
            f"{where}: importing {module} failed: {type(error).__name__}: {one_line(error)}", fix=_CODE_FIX
        ) from error
