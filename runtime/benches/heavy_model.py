"""Writes an ONNX file with the interface of u2net's clothing model, for timing: float32 [1, 3, 768, 768] in, the logarithms
of 4 probabilities a pixel out. Its weights are random; what it finds are smooth areas of no meaning. Needs `onnx`.

    heavy_model.py FILE
"""

import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

random = numpy.random.default_rng(7)
nodes, weights = [], []


def constant(name, values):
    weights.append(numpy_helper.from_array(values, name))
    return name


def convolution(source, inputs, outputs, stride=1, relu=True):
    name = f"conv{len(nodes)}"
    kernel = random.standard_normal((outputs, inputs, 3, 3), numpy.float32) * (2 / (9 * inputs)) ** 0.5
    bias = constant(f"{name}.bias", numpy.zeros(outputs, numpy.float32))
    kernel = constant(f"{name}.weight", kernel.astype(numpy.float32))
    nodes.append(helper.make_node("Conv", [source, kernel, bias], [name], pads=[1] * 4, strides=[stride] * 2))
    if not relu:
        return name
    nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"]))
    return f"{name}.relu"


# Strides 2 to 32, two or three convolutions each: about 24 billion multiplications.
features, channels = "input", 3
for width, count in [(32, 1), (64, 2), (96, 3), (192, 3), (256, 3)]:
    for index in range(count):
        features = convolution(features, channels, width, stride=2 if index == 0 else 1)
        channels = width
features = convolution(features, channels, 4, relu=False)
scales = constant("scales", numpy.float32([1, 1, 32, 32]))
nodes.append(helper.make_node("Resize", [features, "", scales], ["enlarged"], mode="linear"))
nodes.append(helper.make_node("LogSoftmax", ["enlarged"], ["output"], axis=1))

graph = helper.make_graph(
    nodes,
    "heavy",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 768, 768])],
    [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 4, 768, 768])],
    weights,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[1])
