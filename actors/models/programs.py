"""Loads a torch.export program as a network. Runs on the driver and once in each worker."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from actors.errors import JobError
from actors.messages import one_line
from actors.models.archives import PROGRAM, pinned_archive
from actors.models.pieces import Pieces
from actors.preprocess import Layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.export import ExportedProgram

    from actors.models.spec import Model


def load(model: Model) -> nn.Module:
    """Returns the program of ``model`` as a network on the CPU, for normalised images in ``model.preprocess.layout``,
    by default (n, channels, height, width).

    A program that was exported for certain batch sizes gets batches in pieces of these sizes.

    Raises:
        JobError: the file is not the pinned one or not a torch.export program, does not load, expects other images, or
            is in training mode.
    """
    program = _read(model)
    if any(_trains(node) for node in program.graph.nodes) or program.graph_signature.buffers_to_mutate:
        raise JobError(
            f"{model.where}: was exported in training mode, where answers depend on the batch or on chance",
            fix="call eval() on the network before torch.export.export",
        )
    found = _image_input(program, model)
    with warnings.catch_warnings(action="ignore"):
        # Without guards, which compare each batch with the exported one; `Pieces` uses only allowed batch sizes.
        network = Program(program.module(check_guards=False), found)
    network.requires_grad_(requires_grad=False)
    return network if found.most is None else Pieces(network, found.least, found.most)


class ProgramInput(NamedTuple):
    """The single input of a program."""

    keyword: str | None
    """Name of the argument; None if it is positional."""
    is_turned: bool
    """True if images arrive as (n, channels, height, width) but the program expects (n, height, width, channels)."""
    least: int
    """Minimum number of images."""
    most: int | None
    """Maximum number of images; None for no limit."""


class Program(nn.Module):
    """Calls a program with images in its own layout, on the device of its weights."""

    def __init__(self, program: nn.Module, taken: ProgramInput) -> None:
        super().__init__()
        self.program = program
        self.taken = taken

    def forward(self, images: torch.Tensor) -> Any:
        if self.taken.is_turned:
            images = images.permute(0, 2, 3, 1).contiguous()
        return self.program(**{self.taken.keyword: images}) if self.taken.keyword else self.program(images)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Program:  # noqa: FBT001, FBT002
        """Moves the tensors that the program creates, too: their device is part of its graph."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # PyTorch's stubs lack it
        device = fn(torch.empty(0, device=_device_of(self.program))).device
        _move(self.program, device)
        return self


def _read(model: Model) -> ExportedProgram:
    data = pinned_archive(model, PROGRAM, fix="give the file that torch.export.save wrote")
    with warnings.catch_warnings(action="ignore"):
        try:
            return torch.export.load(data)
        except Exception as error:
            raise JobError(
                f"{model.where}: PyTorch {torch.__version__} does not load it: {one_line(error)}",
                fix="export it again with this version, on the CPU, or export the model to .onnx",
            ) from error


def _trains(node: torch.fx.Node) -> bool:
    place = _TRAINING_FLAGS.get(str(node.target).partition(".default")[0])
    return place is not None and len(node.args) > place and node.args[place] is True


# The argument of each operator that is true in training.
_TRAINING_FLAGS = {
    "aten.batch_norm": 5,
    "aten.dropout": 2,
    "aten.dropout_": 2,
    "aten.alpha_dropout": 2,
    "aten.feature_dropout": 2,
}


def _image_input(program: ExportedProgram, model: Model) -> ProgramInput:
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    image = values.get(str(names[0])) if len(names) == 1 else None
    if not isinstance(image, torch.Tensor) or image.dim() != _NUM_AXES or not image.is_floating_point():
        raise JobError(
            f"{model.where}: does not take one batch of images, but {len(names)} inputs: {', '.join(map(str, names))}",
            fix="export a network with one input: normalised pixels, float (n, 3, height, width)",
        )
    layout, channels = model.preprocess.layout, model.preprocess.channels
    is_turned = layout is Layout.auto and image.shape[1] != channels and image.shape[3] == channels
    is_nhwc = is_turned or layout is Layout.nhwc
    found = image.shape[3 if is_nhwc else 1]
    if isinstance(found, int) and found != channels:
        raise JobError(
            f"model.preprocess.channels={channels}: {model.where} takes images of {found} channels, in the layout "
            f"{'nhwc' if is_nhwc else 'nchw'}",
            fix="set model.preprocess.channels and model.preprocess.layout as the program was exported",
        )
    _check_size(model, tuple(image.shape[1:3] if is_nhwc else image.shape[2:]))
    least, most = _batch_sizes(image.shape[0], program)
    return ProgramInput(_keyword(program), is_turned, least, most)


_NUM_AXES = 4


def _check_size(model: Model, sides: tuple[Any, ...]) -> None:
    size = model.preprocess.size
    if any(isinstance(side, int) and side != given for side, given in zip(sides, size, strict=True)):
        raise JobError(
            f"model.preprocess.crop={model.preprocess.crop}: gives images of {size[0]} by {size[1]} pixels; "
            f"{model.where} takes {sides[0]} by {sides[1]}",
            fix=f"set model.preprocess.crop=[{sides[0]},{sides[1]}]",
        )


def _batch_sizes(length: int | torch.SymInt, program: ExportedProgram) -> tuple[int, int | None]:
    """Returns the minimum and maximum number of images; None for no limit."""
    if isinstance(length, int):
        return length, length
    limits = program.range_constraints.get(length.node.expr)
    if limits is None:
        return 1, None
    # torch.export records a minimum of 2 if none was given, but does not enforce it.
    least = int(limits.lower) if limits.lower > 2 else 1  # noqa: PLR2004
    is_bounded = limits.upper.is_finite and limits.upper < _UNBOUNDED
    if not is_bounded:
        return least, None if least == 1 else _UNBOUNDED
    return least, int(limits.upper)


_UNBOUNDED = 1 << 20  # images: more than any batch


def _keyword(program: ExportedProgram) -> str | None:
    spec = program.call_spec.in_spec
    if spec is None or spec.child(0).num_leaves:
        return None
    return next(iter(spec.child(1).context), None)


def _device_of(program: nn.Module) -> torch.device:
    tensors = [*program.parameters(), *program.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def _move(program: nn.Module, device: torch.device) -> None:
    """Moves the tensors that ``program`` creates to ``device``."""
    graph = getattr(program, "graph", None)
    if graph is None:
        return
    is_changed = False
    for node in graph.nodes:
        if node.kwargs.get("device") not in (None, device):
            node.update_kwarg("device", device)
            is_changed = True
    if is_changed:
        program.recompile()  # type: ignore[operator]  # a GraphModule
