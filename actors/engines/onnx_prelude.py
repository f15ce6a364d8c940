"""The small graph that converts uint8 pixels to an .onnx model's input, on the device. Made when a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from actors.preprocess import ChannelOrder, Standardize, scale_and_bias
from actors.preprocess.normalisation import GREY_HALF, GREY_SCALE, GREY_WEIGHTS, least_deviation

if TYPE_CHECKING:
    from actors.preprocess import Preprocess

PRELUDE_INPUT = "pixels_nhwc"
PRELUDE_OUTPUT = "image"
TYPES = {"uint8": TensorProto.UINT8, "float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


def prelude(preprocess: Preprocess, dtype: str, layout: str) -> bytes | None:
    """Returns an ONNX model from `PRELUDE_INPUT`, uint8 RGB (n, height, width, 3), to `PRELUDE_OUTPUT`; None if not
    needed.

    Args:
        preprocess: channels, their order, and, for inputs other than uint8, the normalisation.
        dtype: one of `TYPES`.
        layout: ``nchw`` or ``nhwc``.
    """
    chain = _Chain(layout)
    if layout == "nchw":  # first, while a pixel is one byte
        chain.add("Transpose", "transposed", perm=[0, 3, 1, 2])
    if preprocess.channel_order is ChannelOrder.bgr:
        chain.add("Gather", "reversed", chain.constant("order", np.array([2, 1, 0])), axis=chain.channel_axis)
    if preprocess.channels == 1:
        _add_grey(chain)
    if dtype == "uint8":
        if preprocess.channels == 1:
            chain.add("Cast", "bytes", to=TensorProto.UINT8)
    else:
        _add_normalisation(chain, preprocess)
    if dtype == "float16":  # last, so that the normalisation is computed in fp32
        chain.add("Cast", "half", to=TensorProto.FLOAT16)
    return chain.model(TYPES[dtype])


class _Chain:
    """A chain of nodes, each of which receives the result of the previous one."""

    def __init__(self, layout: str) -> None:
        self.channel_axis = layout.index("c")
        self.last = PRELUDE_INPUT
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, name: str, *others: str, **attributes: Any) -> str:
        """Appends a node whose output has this name, and returns the name."""
        self._nodes.append(helper.make_node(operator, [self.last, *others], [name], **attributes))
        self.last = name
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, np.float32))

    def numbers(self, name: str, values: np.ndarray) -> str:
        """Adds a constant with one value per channel."""
        return self.constant(name, values.reshape((-1, 1, 1) if self.channel_axis == 1 else (-1,)))

    def model(self, element_type: int) -> bytes | None:
        if not self._nodes:
            return None
        self._nodes[-1].output[0] = PRELUDE_OUTPUT
        graph = helper.make_graph(
            self._nodes,
            "prelude",
            [helper.make_tensor_value_info(PRELUDE_INPUT, TensorProto.UINT8, [None] * _NUM_AXES)],
            [helper.make_tensor_value_info(PRELUDE_OUTPUT, element_type, [None] * _NUM_AXES)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString())


_NUM_AXES = 4  # images, height, width and channels, in either layout
# Readable by every onnxruntime version that pyproject.toml allows.
_OPSET, _IR_VERSION = 17, 8


def _add_grey(chain: _Chain) -> None:
    chain.add("Cast", "colours", to=TensorProto.FLOAT)
    chain.add("Mul", "weighed", chain.numbers("weights", GREY_WEIGHTS))
    chain.add("ReduceSum", "sum", chain.constant("channel_axis", np.array([chain.channel_axis])), keepdims=1)
    chain.add("Add", "rounded", chain.number("half", GREY_HALF))
    chain.add("Mul", "grey_real", chain.number("grey_scale", GREY_SCALE))
    chain.add("Floor", "grey")


def _add_normalisation(chain: _Chain, preprocess: Preprocess) -> None:
    if preprocess.channels != 1:
        chain.add("Cast", "real", to=TensorProto.FLOAT)
    if preprocess.standardize is Standardize.per_image:
        _add_standardisation(chain, preprocess)
        return
    scale, bias = scale_and_bias(preprocess)
    chain.add("Mul", "scaled", chain.numbers("scale", scale))
    chain.add("Add", "normalised", chain.numbers("bias", bias))


def _add_standardisation(chain: _Chain, preprocess: Preprocess) -> None:
    numbers = chain.add("Mul", "numbers", chain.number("factor", preprocess.rescale_factor))
    mean = chain.add("ReduceMean", "mean", axes=[1, 2, 3])
    chain.last = numbers
    centred = chain.add("Sub", "centred", mean)
    chain.add("Mul", "squares", centred)
    chain.add("ReduceMean", "variance", axes=[1, 2, 3])
    chain.add("Sqrt", "deviation")
    divisor = chain.add("Max", "divisor", chain.number("least", least_deviation(preprocess)))
    chain.last = centred
    chain.add("Div", "standardised", divisor)
