"""transformers networks, ``transformers:NAME``. The library's own code loads their weights, since it renames entries
while loading. Runs wherever a network is rebuilt; no code comes from a checkpoint or a hub.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from actors.errors import JobError
from actors.messages import one_line
from actors.models.architectures import import_library, require_name
from actors.models.outputs import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def load_transformers(
    architecture: str, kwargs: Mapping[str, Any], state_dict: Mapping[str, Any], where: str
) -> VisionNetwork:
    """Loads ``state_dict`` strictly into the network ``transformers:NAME``, for pixels only. Arguments and errors are
    those of `load_whole`.
    """
    return VisionNetwork(load_whole(architecture, kwargs, state_dict, where))


def load_whole(architecture: str, kwargs: Mapping[str, Any], state_dict: Mapping[str, Any], where: str) -> Any:
    """Loads ``state_dict`` strictly into the network ``transformers:NAME`` as the library builds it.

    Args:
        architecture: names a transformers class that has a config.
        kwargs: entries of its config, as in a ``config.json``, and further arguments of the class. From the config of a
            multi-part model, such as CLIP, the class reads its own part.
        state_dict: the weights, which may also include the other parts of such a model.
        where: prefix of error messages about the weights.

    Raises:
        JobError: there is no such class, or the config or the weights do not fit it.
    """
    where_from = f"model.architecture={architecture}"
    network_class = _network_class(architecture.partition(":")[2], where_from)
    config, others = _split(network_class, kwargs)
    try:
        with quiet():
            network, report = network_class.from_pretrained(
                None,
                config=network_class.config_class.from_dict({**config, "return_dict": True}),
                state_dict=_of_the_library(state_dict),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # reported below, with all others
                output_loading_info=True,
                **others,
            )
    except ImportError as error:  # such as for timm, which has the backbones of some detectors
        raise JobError(f"{where_from}: {one_line(error)}", fix=_INSTALL_FIX) from error
    except Exception as error:
        raise JobError(
            f"{where_from} with the weights of {where}: {type(error).__name__}: {one_line(error)}",
            fix="give the settings of its config.json in model.kwargs",
        ) from error
    _check(report, where, is_part=config is not kwargs)
    return network


class VisionNetwork(torch.nn.Module):
    """Returns the tensors that a transformers network returns for ``pixel_values``, under their own names.

    With ``output_hidden_states`` in its config, adds ``hidden_states_0``, the input of the first layer, and
    ``hidden_states_1`` and so on, the output of each layer. If no output has one vector per image, adds ``pooled``: the
    class token, or the mean over all positions. For a detector, returns only classes, boxes and these layers.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.has_class_token = any(name.rpartition(".")[2] in _CLASS_TOKENS for name, _ in model.named_parameters())

    def forward(self, pixels_nchw: torch.Tensor) -> dict[str, torch.Tensor]:
        returned = self.model(pixel_values=pixels_nchw)
        outputs = named(returned)
        # A tuple, present only with output_hidden_states in the config.
        layers = getattr(returned, "hidden_states", None) or ()
        asked = {f"hidden_states_{number}": layer for number, layer in enumerate(layers)}
        if outputs.keys() >= _OF_DETECTORS:
            return {name: outputs[name] for name in sorted(_OF_DETECTORS)} | asked
        outputs |= asked
        hidden = outputs.get("last_hidden_state")
        if hidden is not None and not any(map(_is_vector, outputs.values())):
            outputs["pooled"] = self._pooled(hidden)
        return outputs

    def _pooled(self, hidden: torch.Tensor) -> torch.Tensor:
        if hidden.ndim == _NCHW:
            return hidden.mean(dim=(2, 3))
        return hidden[:, 0] if self.has_class_token else hidden.mean(dim=1)


_INSTALL_FIX = "install what it needs, such as timm: pip install 'shardlens[timm]'"
_OF_DETECTORS = {"logits", "pred_boxes"}
_CLASS_TOKENS = ("cls_token", "class_embedding")
_NCHW = 4
_NETWORK = re.compile(r"For[A-Z]|Model$")


def _is_vector(tensor: torch.Tensor) -> bool:
    return tensor.ndim > 1 and all(length == 1 for length in tensor.shape[2:])


def _network_class(name: str, where: str) -> Any:
    try:
        # From the start: transformers checks only once whether torchvision exists.
        with _without_broken_torchvision():
            transformers = import_library("transformers", where)
            if name not in dir(transformers):
                require_name(name, [known for known in dir(transformers) if _NETWORK.search(known)], where)
            found = getattr(transformers, name)
    except ImportError as error:
        raise JobError(
            f"{where}: importing it failed: {one_line(error.__cause__ or error)}", fix="install what it needs"
        ) from error
    if not hasattr(found, "from_pretrained") or getattr(found, "config_class", None) is None:
        raise JobError(
            f"{where}: is not a network with a config",
            fix="name one such as transformers:ViTForImageClassification",
        )
    return found


def _split(network_class: Any, kwargs: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Returns the config entries of the class, and its other arguments."""
    own = set(inspect.signature(network_class.__init__).parameters) - {"self", "config", "args", "kwargs"}
    others = {key: value for key, value in kwargs.items() if key in own}
    config = {key: value for key, value in kwargs.items() if key not in own} if others else kwargs
    wanted = network_class.config_class
    part = config.get(wanted.base_config_key or "")
    if config.get("model_type") in (None, wanted.model_type) or not isinstance(part, dict):
        return config, others
    shared = {key: config[key] for key in _OF_THE_WHOLE if key in config}
    return {**part, **shared}, others


_OF_THE_WHOLE = ("projection_dim", "output_hidden_states")


def _of_the_library(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the weights under their transformers names, even for a saved `VisionNetwork`."""
    is_wrapped = all(name.startswith("model.") for name in state_dict)
    return {name.removeprefix("model.") if is_wrapped else name: value for name, value in state_dict.items()}


def _check(report: Mapping[str, Any], where: str, *, is_part: bool) -> None:
    """Raises `JobError` unless every weight was loaded. If the class ``is_part`` of a model, others may remain."""
    problems = {
        "missing": sorted(report["missing_keys"]),
        "unexpected": [] if is_part else sorted(report["unexpected_keys"]),
        "wrong shape": [" ".join(map(str, entry)) for entry in sorted(report["mismatched_keys"], key=str)],
        "error": [str(message) for message in report["error_msgs"]],
    }
    listed = "; ".join(f"{problem}: {_some(names)}" for problem, names in problems.items() if names)
    if listed:
        raise JobError(
            f"{where}: does not fit the network. {listed}",
            fix="name the class that was saved as model.architecture, leave parts out with model.ignore, or give "
            "model.kwargs such as +model.kwargs.add_pooling_layer=false",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


_MAX_LISTED = 5


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the reports and progress bars of transformers."""
    logging = importlib.import_module("transformers.utils.logging")
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


@contextmanager
def _without_broken_torchvision() -> Iterator[None]:
    """Hides a torchvision that was built for another torch: transformers would import it, but its networks work without
    it.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        yield
        return
    except Exception:  # noqa: BLE001  whatever its compiled operators raise
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # makes imports of it fail
        try:
            yield
        finally:
            del sys.modules["torchvision"]
        return
    yield
