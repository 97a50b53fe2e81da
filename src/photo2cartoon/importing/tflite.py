"""Converts TensorFlow Lite networks of images to ONNX, for runtimes other than LiteRT, such as a browser's.

It knows the operators of MediaPipe's face and person networks. Tensors are `[1, H, W, C]` in TensorFlow Lite and
`[1, C, H, W]` inside the graph; inputs and outputs keep their original form. Weights stay in the precision of the file.
A graph is compared with LiteRT before it is written.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.importing.segmenters import probe
from photo2cartoon.portrait.litert import Network

if TYPE_CHECKING:
    import onnx

OPSET = 18
# Largest difference allowed from LiteRT, as a share of the largest value of the output.
TOLERANCE = 1e-4
INPUT = "picture"
_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_SAME, _NONE, _RELU, _RELU6 = 0, 0, 1, 3  # values of TensorFlow Lite's enumerations Padding and ActivationFunctionType
_SPARSE = 1  # a dimension in compressed sparse rows
# MediaPipe's own operator; its options are padding, and strides across and down.
_TRANSPOSED_WITH_BIAS = b"Convolution2DTransposeBias"


def to_onnx(source: Path, target: Path) -> None:
    """Convert a network.

    Args:
        source: a `.tflite` file with one input float32 `[1, S, S, 3]`, verified.
        target: the graph to write; its outputs have LiteRT's order and form.

    Raises:
        UserError: the file has an operator that is not known here, or the graph's output differs from LiteRT's.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    graph = _Converter(source, model, schema).convert()
    content = graph.SerializeToString()
    _must_agree(source, content)
    target.write_bytes(content)


class _Converter:
    """Builds the graph, operator by operator.

    Args:
        source: the file, for messages.
        model: its content.
        schema: the module that defines it.
    """

    def __init__(self, source: Path, model: Any, schema: Any) -> None:
        self._source, self._model, self._net = source, model, model.subgraphs[0]
        self._names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        self._types = {
            schema.TensorType.FLOAT32: "<f4",
            schema.TensorType.FLOAT16: "<f2",
            schema.TensorType.INT32: "<i4",
        }
        self._constants: dict[int, np.ndarray] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._operators: dict[str, Callable[[Any], None]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._convolution,
            "CUSTOM": self._transposed_convolution,
            "ADD": lambda node: self._simple(node, "Add"),
            "MUL": lambda node: self._simple(node, "Mul"),
            "RELU": lambda node: self._simple(node, "Relu"),
            "LOGISTIC": lambda node: self._simple(node, "Sigmoid"),
            "HARD_SWISH": lambda node: self._simple(node, "HardSwish"),
            "PRELU": self._prelu,
            "PAD": self._pad,
            "MAX_POOL_2D": lambda node: self._pool(node, "MaxPool"),
            "AVERAGE_POOL_2D": lambda node: self._pool(node, "AveragePool"),
            "RESIZE_BILINEAR": self._resize,
            "DEPTH_TO_SPACE": self._depth_to_space,
            "RESHAPE": self._reshape,
            "DEQUANTIZE": self._constant_result,
            "DENSIFY": self._constant_result,
        }

    def convert(self) -> onnx.ModelProto:
        """Return the graph."""
        from onnx import TensorProto, checker, helper

        (given,) = self._net.inputs
        self._add("Transpose", [INPUT], self._name(given), perm=_TO_CHANNELS_FIRST)
        for node in self._net.operators:
            self._operators.get(self._kind(node), self._refuse)(node)
        outputs = []
        for number, index in enumerate(self._net.outputs):
            shape, name = self._shape(index), f"output_{number}"
            if len(shape) == 4:
                self._add("Transpose", [self._name(index)], name, perm=_TO_CHANNELS_LAST)
            else:
                self._add("Identity", [self._name(index)], name)
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, self._shape(given))]
        graph = helper.make_graph(self._nodes, self._source.stem, inputs, outputs, self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        checker.check_model(model)
        return model

    def _convolution(self, node: Any) -> None:
        options, shape = node.builtinOptions, self._shape(node.inputs[0])
        kernel = self._constant(node.inputs[1])
        depthwise = self._kind(node) == "DEPTHWISE_CONV_2D"
        kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
        steps, gaps = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
        reach = [(side - 1) * gap + 1 for side, gap in zip(kernel.shape[2:], gaps, strict=True)]
        inputs = [self._name(node.inputs[0]), self._weights(kernel), self._weights(self._constant(node.inputs[2]))]
        self._add_activated(
            node, "Conv", inputs, strides=steps, dilations=gaps, group=shape[3] if depthwise else 1,
            pads=_pads(shape[1:3], reach, steps) if options.padding == _SAME else [0] * 4,
        )  # fmt: skip

    def _transposed_convolution(self, node: Any) -> None:
        if self._model.operatorCodes[node.opcodeIndex].customCode != _TRANSPOSED_WITH_BIAS:
            self._refuse(node)
        kernel = self._constant(node.inputs[1])
        _, across, down = struct.unpack("<3i", bytes(node.customOptions))
        if kernel.shape[1:3] != (down, across):  # otherwise outputs overlap or leave gaps, and the padding matters
            self._refuse(node)
        weights = [self._weights(kernel.transpose(3, 0, 1, 2)), self._weights(self._constant(node.inputs[2]))]
        self._add("ConvTranspose", [self._name(node.inputs[0]), *weights], self._result(node), strides=(down, across))

    def _simple(self, node: Any, kind: str) -> None:
        self._add_activated(node, kind, [self._name(index) for index in node.inputs])

    def _prelu(self, node: Any) -> None:
        slope = self._constant(node.inputs[1]).reshape(-1, 1, 1)
        self._add("PRelu", [self._name(node.inputs[0]), self._weights(slope)], self._result(node))

    def _pad(self, node: Any) -> None:
        amounts = self._constant(node.inputs[1])[list(_TO_CHANNELS_FIRST)]
        pads = self._initializer(amounts.T.reshape(-1).astype(np.int64))
        self._add("Pad", [self._name(node.inputs[0]), pads], self._result(node))

    def _pool(self, node: Any, kind: str) -> None:
        options, shape = node.builtinOptions, self._shape(node.inputs[0])
        window, steps = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        pads = _pads(shape[1:3], window, steps) if options.padding == _SAME else [0] * 4
        self._add_activated(node, kind, [self._name(node.inputs[0])], kernel_shape=window, strides=steps, pads=pads)

    def _resize(self, node: Any) -> None:
        options = node.builtinOptions
        if options.alignCorners or not options.halfPixelCenters:
            self._refuse(node)
        batch, height, width, channels = self._shape(node.outputs[0])
        sizes = self._initializer(np.array([batch, channels, height, width], np.int64))
        inputs = [self._name(node.inputs[0]), "", "", sizes]
        self._add("Resize", inputs, self._result(node), mode="linear", coordinate_transformation_mode="half_pixel")

    def _depth_to_space(self, node: Any) -> None:
        inputs = [self._name(node.inputs[0])]
        self._add("DepthToSpace", inputs, self._result(node), blocksize=node.builtinOptions.blockSize, mode="DCR")

    def _reshape(self, node: Any) -> None:
        shape = self._initializer(np.array(self._shape(node.outputs[0]), np.int64))
        if len(self._shape(node.outputs[0])) == 4:
            self._refuse(node)
        last = f"{self._result(node)}_channels_last"
        self._add("Transpose", [self._name(node.inputs[0])], last, perm=_TO_CHANNELS_LAST)
        self._add("Reshape", [last, shape], self._result(node))

    def _constant_result(self, node: Any) -> None:
        """Take the values of weights in half precision, or with their zeros left out, as they are."""
        self._constants[node.outputs[0]] = self._constant(node.inputs[0])

    def _constant(self, index: int) -> np.ndarray:
        """Return the values of a tensor that does not depend on the input."""
        if index in self._constants:
            return self._constants[index]
        tensor = self._net.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        if data is None or tensor.type not in self._types:
            raise UserError(f"{self._source}: tensor '{self._name(index)}' is not a constant of a known type")
        values = np.frombuffer(data.tobytes(), self._types[tensor.type])
        if tensor.sparsity is not None:
            return self._with_zeros(values, tensor)
        return values.reshape(self._shape(index))

    def _with_zeros(self, values: np.ndarray, tensor: Any) -> np.ndarray:
        """Return a tensor whose last dimension is stored as compressed sparse rows, with its zeros."""
        *outer, last = tensor.sparsity.dimMetadata
        ordered = list(tensor.sparsity.traversalOrder) == list(range(len(tensor.shape)))
        blocks = tensor.sparsity.blockMap is not None and len(tensor.sparsity.blockMap)
        if not ordered or blocks or last.format != _SPARSE or any(each.format == _SPARSE for each in outer):
            raise UserError(f"{self._source}: a tensor is sparse in a way that is not known here")
        whole = np.zeros((int(np.prod(tensor.shape[:-1])), tensor.shape[-1]), values.dtype)
        counts = np.diff(np.asarray(last.arraySegments.values, np.int64))
        whole[np.repeat(np.arange(len(whole)), counts), np.asarray(last.arrayIndices.values)] = values
        return whole.reshape(tensor.shape)

    def _kind(self, node: Any) -> str:
        code = self._model.operatorCodes[node.opcodeIndex]
        return self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def _shape(self, index: int) -> list[int]:
        return [int(side) for side in self._net.tensors[index].shape]

    def _name(self, index: int) -> str:
        return f"t{index}"

    def _result(self, node: Any) -> str:
        return self._name(node.outputs[0])

    def _initializer(self, values: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self._initializers)}"
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _weights(self, values: np.ndarray) -> str:
        """Store weights as they are; runtimes that fold constants convert half precision once."""
        from onnx import TensorProto

        name = self._initializer(values)
        if values.dtype != np.float16:
            return name
        return self._add("Cast", [name], f"{name}_single", to=TensorProto.FLOAT)

    def _add_activated(self, node: Any, kind: str, inputs: Sequence[str], **attributes: Any) -> None:
        """Add a node, and another for the activation that TensorFlow Lite has fused into it."""
        activation = getattr(node.builtinOptions, "fusedActivationFunction", _NONE)
        name = self._result(node)
        if activation == _NONE:
            self._add(kind, inputs, name, **attributes)
            return
        before = self._add(kind, inputs, f"{name}_linear", **attributes)
        if activation == _RELU:
            self._add("Relu", [before], name)
        elif activation == _RELU6:
            limits = [self._initializer(np.array(limit, np.float32)) for limit in (0, 6)]
            self._add("Clip", [before, *limits], name)
        else:
            self._refuse(node)

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _refuse(self, node: Any) -> None:
        raise UserError(f"{self._source}: its operator {self._kind(node)} is not known here, at least with its options")


def _pads(sides: Sequence[int], reach: Sequence[int], steps: Sequence[int]) -> list[int]:
    """Return TensorFlow's padding SAME: top, left, bottom, right; of an odd number, more at the end."""
    totals = [
        max((-(-side // step) - 1) * step + window - side, 0)
        for side, window, step in zip(sides, reach, steps, strict=True)
    ]
    return [total // 2 for total in totals] + [total - total // 2 for total in totals]


def _must_agree(source: Path, graph: bytes) -> None:
    from photo2cartoon.serving.session import open_session

    reference = Network(source)
    picture = probe(reference.side)
    got = open_session(graph).run(None, {INPUT: picture})
    for one, expected in zip(got, reference(picture[0]), strict=True):
        gap = np.abs(one[0] - expected).max() / np.abs(expected).max() if one[0].shape == expected.shape else np.inf
        if not gap <= TOLERANCE:
            raise UserError(f"{source}: the converted graph differs from LiteRT by {gap:.2g}: refused")
