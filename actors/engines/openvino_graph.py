"""Reads a file into an OpenVINO graph that accepts uint8 pixels. Used when a model is loaded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from actors.device_errors import device_errors
from actors.engines.graph_source import outside
from actors.engines.onnx_input import ImageInput, image_input
from actors.engines.openvino_library import OPENVINO_ERRORS, load_openvino, plain_errors
from actors.errors import JobError
from actors.messages import one_line
from actors.models.forms import form_of
from actors.models.onnx_files import not_numbers
from actors.preprocess import ChannelOrder, Standardize, scale_and_bias
from actors.preprocess.normalisation import GREY_HALF, GREY_SCALE, GREY_WEIGHTS, least_deviation

if TYPE_CHECKING:
    from actors.models.graph_file import GraphFile
    from actors.models.spec import Model
    from actors.preprocess import Preprocess


class PixelGraph(NamedTuple):
    """A graph from uint8 (n, height, width, 3) to the outputs of the file, with floating-point outputs as float32."""

    graph: Any
    input: ImageInput
    """The input of the file itself."""
    outputs: list[str]


def read_graph(core: Any, file: GraphFile, model: Model) -> PixelGraph:
    """Reads the graph in the ``file`` of ``model``, and adds the normalisation.

    Raises:
        JobError: OpenVINO cannot load it, or it does not accept images of that size.
    """
    try:
        with device_errors(), plain_errors():
            graph = core.read_model(str(file.path))
            inputs = [_node(node) for node in graph.inputs]
            outputs = [output.any_name for output in graph.outputs]
    except OPENVINO_ERRORS as error:
        raise JobError(f"{model.where}: openvino cannot load it: {one_line(error)}", fix=_fix(model, file)) from error
    texts = [output.any_name for output in graph.outputs if output.get_element_type().get_type_name() == "string"]
    if texts:
        raise not_numbers(model, f"{', '.join(texts)} is text")
    model = outside(model, file)
    taken = image_input(inputs, model, one_by_one=file.mixes_images)
    return PixelGraph(_from_pixels(graph, taken, model.preprocess), taken, outputs)


def _fix(model: Model, file: GraphFile) -> str:
    if file.is_exported:
        return "choose engine=torch"
    if form_of(model).engines == ("openvino",):
        return "copy its .xml and .bin again, or export it again"
    return "choose engine=onnxruntime, or export it again"


class _Node(NamedTuple):
    """An input as onnxruntime describes it."""

    name: str
    type: str
    shape: list[int | str]


_TYPES = {"f32": "float", "f16": "float16", "f64": "double", "u8": "uint8", "i32": "int32", "i64": "int64"}


def _node(node: Any) -> _Node:
    shape, name = node.get_partial_shape(), node.get_element_type().get_type_name()
    lengths = [] if shape.rank.is_dynamic else [axis.get_length() if axis.is_static else "?" for axis in shape]
    return _Node(node.any_name, _TYPES.get(name, name), lengths)


def _from_pixels(graph: Any, taken: ImageInput, preprocess: Preprocess) -> Any:
    openvino = load_openvino()
    processor = openvino.preprocess.PrePostProcessor(graph)
    pixels = processor.input()
    pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    pixels.model().set_layout(openvino.Layout(taken.layout.upper()))
    if preprocess.channels == 1:  # otherwise OpenVINO assumes the channels of the model
        pixels.tensor().set_shape(openvino.PartialShape([-1, -1, -1, 3]))
    steps = pixels.preprocess()
    # The layout changes last: convolutions prefer NHWC, so OpenVINO moves no data at all.
    if taken.dtype != "uint8":
        steps.convert_element_type(openvino.Type.f32)
        steps.custom(partial(_normalised, preprocess=preprocess))
    elif preprocess.channels == 1 or preprocess.channel_order is ChannelOrder.bgr:
        steps.custom(partial(_arranged, preprocess=preprocess))
    if taken.dtype == "float16":
        steps.convert_element_type(openvino.Type.f16)
    for place, output in enumerate(graph.outputs):
        if output.get_element_type().is_real():  # numpy would read bf16 as fp16
            processor.output(place).tensor().set_element_type(openvino.Type.f32)
    return processor.build()


def _normalised(node_nhwc: Any, preprocess: Preprocess) -> Any:
    operators = load_openvino().opset13
    pixels = _channels(node_nhwc, preprocess)
    if preprocess.standardize is Standardize.per_image:
        return _standardised(pixels, preprocess)
    scale, bias = scale_and_bias(preprocess)
    return operators.add(operators.multiply(pixels, scale), bias).output(0)


def _arranged(node_nhwc: Any, preprocess: Preprocess) -> Any:
    """Returns the channels that a model of uint8 pixels expects."""
    operators = load_openvino().opset13
    pixels = _channels(operators.convert(node_nhwc, "f32"), preprocess)
    return operators.convert(pixels, "u8").output(0)


def _channels(node_nhwc: Any, preprocess: Preprocess) -> Any:
    operators = load_openvino().opset13
    if preprocess.channels == 1:
        sums = operators.reduce_sum(operators.multiply(node_nhwc, GREY_WEIGHTS), np.array([3]), keep_dims=True)
        halved = operators.add(sums, np.float32(GREY_HALF))
        return operators.floor(operators.multiply(halved, np.float32(GREY_SCALE)))
    if preprocess.channel_order is ChannelOrder.bgr:
        return operators.gather(node_nhwc, np.array([2, 1, 0]), np.array(3))
    return node_nhwc


def _standardised(node_nhwc: Any, preprocess: Preprocess) -> Any:
    operators, axes = load_openvino().opset13, np.array([1, 2, 3])
    numbers = operators.multiply(node_nhwc, np.float32(preprocess.rescale_factor))
    centred = operators.subtract(numbers, operators.reduce_mean(numbers, axes, keep_dims=True))
    variance = operators.reduce_mean(operators.multiply(centred, centred), axes, keep_dims=True)
    least = np.float32(least_deviation(preprocess))
    return operators.divide(centred, operators.maximum(operators.sqrt(variance), least)).output(0)
