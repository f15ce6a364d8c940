"""Writes the forms of a bundle: one network, rebuilt in evaluation mode, for several engines. Runs on the driver of an
export.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.errors import JobError
from actors.exporting.export_cache import exported
from actors.exporting.postprocess import NMS, NONE, Postprocess
from actors.messages import one_line
from actors.models.bundle_files import MAIN_FILES
from actors.models.forms import form_of
from actors.models.network import build_network
from actors.models.torchscript_form import TorchScriptForm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from actors.models.spec import Model


@dataclass(frozen=True)
class FormPlan:
    """Choices that the forms of a bundle share."""

    precision: str = "fp32"
    """``fp32``, ``fp16``, ``bf16`` or ``int8``."""
    postprocess: Postprocess = field(default_factory=Postprocess)
    separate_weights: bool = False
    """Put the weights of model.onnx into model.onnx.data."""
    calibration: np.ndarray | None = None
    """uint8 (n, height, width, 3), for int8."""
    is_narrow: bool = False
    """See `actors.exporting.quantisation.quantise`."""


@dataclass(frozen=True)
class WrittenForm:
    """A form in a folder; the fields are those of `actors.models.bundle_files.FormRecord`."""

    name: str
    files: tuple[str, ...]
    precision: str
    postprocess: str
    normalises: bool

    def model(self, source: Model, folder: Path) -> Model:
        """The model that this form of ``source`` is, in ``folder``."""
        path = folder / MAIN_FILES[self.name]
        plain = replace(source, source="", checkpoint=str(path), sha256="", ema=False, prefix=None, ignore=[])
        if self.normalises:
            plain = replace(plain, preprocess=source.preprocess.for_pixels())
        if self.name == "safetensors":
            return plain
        # Its loading could run code, which is that of the network that was just exported.
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if self.name == "pt2" else ""
        return replace(plain, architecture=None, kwargs={}, sha256=sha256)


def write_form(name: str, model: Model, folder: Path, plan: FormPlan, metadata: Mapping[str, str]) -> WrittenForm:
    """Writes the form ``name`` of ``model`` below ``folder``.

    Args:
        name: one of `actors.models.bundle_files.ENGINES`.
        model: the model to export.
        folder: folder of the bundle.
        plan: the precision and other choices.
        metadata: texts that an .onnx file or an OpenVINO IR carries inside.

    Raises:
        JobError: the model has no such form, or a library fails on it.
        OSError: a file cannot be written.
    """
    check_form(name, model, plan.precision, plan.postprocess.kind)
    write: Callable[[Model, Path, FormPlan, Mapping[str, str]], str] = _WRITERS[name]
    before = {path for path in folder.rglob("*") if path.is_file()}
    precision = write(model, folder, plan, metadata)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    new = tuple(file for file in files if folder / file not in before)
    is_graph = name in ("onnx", "openvino")
    steps = plan.postprocess.kind if name != "safetensors" else NONE
    return WrittenForm(name, new, precision, steps, normalises=is_graph and form_of(model).has_network)


def check_form(name: str, model: Model, precision: str, postprocess: str = NONE) -> None:
    """Raises `JobError` if ``model`` cannot have the form ``name`` in ``precision`` with the steps ``postprocess``, as
    far as that shows at once.
    """
    where = f"export.formats={name}"
    if isinstance(form_of(model), TorchScriptForm):
        raise JobError(
            f"{where}: {model.where} is a TorchScript archive, which PyTorch exports to no other form", fix=_NETWORK
        )
    if not form_of(model).has_network and name not in _OF_GRAPHS.get(form_of(model).engines[0], ()):
        raise JobError(f"{where}: {model.where} holds a whole graph, and no network to make it of", fix=_LEAVE_OUT)
    if name == "safetensors" and model.architecture is None:
        raise JobError(f"{where}: {model.where} has no model.architecture to load weights into", fix=_LEAVE_OUT)
    if postprocess == NMS and (name == "pt2" or form_of(model).engines == ("openvino",)):
        reason = "torch has no operator for it" if name == "pt2" else f"{model.where} is a graph of OpenVINO"
        raise JobError(f"export.postprocess=nms: cannot end the form {name} with it: {reason}", fix=_NMS_IN_ONNX)
    if precision in _IMPOSSIBLE.get(name, {}):
        raise JobError(
            f"export.precision={precision}: {_IMPOSSIBLE[name][precision]}", fix=f"leave {name} out of export.formats"
        )
    if not form_of(model).has_network and precision not in _OF_A_GRAPH[name]:
        raise JobError(
            f"export.precision={precision}: {model.where} is a graph, whose numbers are not converted to it",
            fix="omit export.precision, or export the network itself: model.architecture and its weights",
        )


_NETWORK = "export the network itself: model.architecture and its weights; the archive alone runs in engine=torch"
_LEAVE_OUT = "remove it from export.formats"
_NMS_IN_ONNX = "choose export.formats=[onnx,openvino] of a network or an .onnx file, or omit export.postprocess"
_OF_GRAPHS = {"onnxruntime": ("onnx", "openvino"), "openvino": ("openvino",)}
_OF_A_GRAPH = {"onnx": ("fp32",), "openvino": ("fp32", "fp16", "bf16")}
_IMPOSSIBLE = {
    "onnx": {"bf16": "onnxruntime does not run networks in it"},
    "pt2": {"int8": "torch does not run networks in it"},
}


def _write_onnx(model: Model, folder: Path, plan: FormPlan, metadata: Mapping[str, str]) -> str:
    from actors.exporting.onnx_finish import finish  # noqa: PLC0415  brings onnx

    with _onnx_graph(model, plan) as source:
        finish(source, folder / MAIN_FILES["onnx"], metadata, separate_weights=plan.separate_weights)
    return plan.precision


def _write_openvino(model: Model, folder: Path, plan: FormPlan, metadata: Mapping[str, str]) -> str:
    from actors.engines.openvino_files import convert  # noqa: PLC0415  brings OpenVINO

    if form_of(model).engines == ("openvino",):
        with _own_graph(model) as path:
            target = folder / MAIN_FILES["openvino"]
            target.parent.mkdir()
            shutil.copy(path, target)
            shutil.copy(path.with_suffix(".bin"), target.with_suffix(".bin"))
        return plan.precision
    # OpenVINO computes in the precision that its engine asks for: fp16 and bf16 are formats of the weights alone.
    graph_plan = plan if plan.precision == "int8" else replace(plan, precision="fp32")
    with _onnx_graph(model, graph_plan) as source:
        convert(source, folder / MAIN_FILES["openvino"], plan.precision, metadata, where=model.where)
    return plan.precision


def _write_pt2(model: Model, folder: Path, plan: FormPlan, metadata: Mapping[str, str]) -> str:
    from actors.exporting.torch_export import export_pt2  # noqa: PLC0415  brings PyTorch

    export_pt2(model, folder / MAIN_FILES["pt2"], plan.precision, plan.postprocess, metadata)
    return plan.precision


def _write_safetensors(model: Model, folder: Path, plan: FormPlan, metadata: Mapping[str, str]) -> str:  # noqa: ARG001
    from actors.exporting.torch_export import save_weights  # noqa: PLC0415  brings PyTorch

    # What int8 graphs are made of: PyTorch loads no such weights.
    precision = "fp32" if plan.precision == "int8" else plan.precision
    save_weights(build_network(model), folder / MAIN_FILES["safetensors"], precision)
    return precision


_WRITERS: dict[str, Callable[[Model, Path, FormPlan, Mapping[str, str]], str]] = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "pt2": _write_pt2,
    "safetensors": _write_safetensors,
}


@contextmanager
def _onnx_graph(model: Model, plan: FormPlan) -> Iterator[Path]:
    """The .onnx file of ``model`` by ``plan``, as the library wrote it."""
    suppression = plan.postprocess.suppression
    if suppression is None:
        with _network_graph(model, plan) as path:
            yield path
        return
    from actors.exporting.onnx_suppression import append_suppression  # noqa: PLC0415  brings onnx

    # After quantisation, so that boxes and scores stay in fp32.
    with (
        _network_graph(model, replace(plan, postprocess=Postprocess())) as source,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
    ):
        path = Path(scratch) / "suppressed.onnx"
        append_suppression(source, path, suppression)
        yield path


@contextmanager
def _network_graph(model: Model, plan: FormPlan) -> Iterator[Path]:
    if not form_of(model).has_network:
        with _own_graph(model) as path:
            yield path
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        is_plain = plan.postprocess.kind == NONE and plan.precision != "fp16"
        path = exported(model) if is_plain else _exported_with(model, plan, Path(scratch))
        if plan.precision == "int8":
            path = _quantised(path, model, plan, Path(scratch))
        yield path


@contextmanager
def _own_graph(model: Model) -> Iterator[Path]:
    """The file of a model that is a graph."""
    own = form_of(model).graph_file(model)
    if own is None:
        raise AssertionError(f"{model.where}: has a network")
    with own as file:
        yield file.path


def _exported_with(model: Model, plan: FormPlan, scratch: Path) -> Path:
    from actors.exporting.onnx_export import export  # noqa: PLC0415  brings PyTorch
    from actors.exporting.postprocess_layers import followed_by  # noqa: PLC0415  brings PyTorch

    path = scratch / "network.onnx"
    export(model, path, half=plan.precision == "fp16", network=followed_by(plan.postprocess, build_network(model)))
    return path


def _quantised(source: Path, model: Model, plan: FormPlan, scratch: Path) -> Path:
    from actors.exporting.quantisation import quantise  # noqa: PLC0415  brings onnxruntime

    if plan.calibration is None or not len(plan.calibration):
        raise JobError("export.precision=int8: there are no images to quantise on", fix="give a +dataset with images")
    path = scratch / "quantised.onnx"
    try:
        quantise(source, path, plan.calibration, is_narrow=plan.is_narrow)
    except JobError:
        raise
    except Exception as error:
        raise JobError(
            f"export.precision=int8: {model.where} cannot be quantised: {type(error).__name__}: {one_line(error)}",
            fix="choose export.precision=fp32",
        ) from error
    return path
