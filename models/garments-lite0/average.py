#!/usr/bin/env python3
"""Writes the mean of two models that `clothseg-train export` wrote from one network: average.py A.onnx B.onnx OUT.onnx

Both must come from one chain of trainings, or the mean is of no use. The description is A's, but for how it was trained.
Needs PyPI's onnx and numpy.
"""

import json
import sys

import numpy as np
import onnx
from onnx import numpy_helper

first, second = map(onnx.load, sys.argv[1:3])
steps = [[(node.op_type, list(node.input), list(node.output)) for node in model.graph.node] for model in (first, second)]
others = {tensor.name: tensor for tensor in second.graph.initializer}
if steps[0] != steps[1]:
    sys.exit("the models are not of one network")
for tensor in first.graph.initializer:
    values = [numpy_helper.to_array(tensor), numpy_helper.to_array(others[tensor.name])]
    if values[0].dtype in (np.float16, np.float32):
        mean = np.mean([value.astype(np.float64) for value in values], axis=0).astype(values[0].dtype)
        tensor.CopyFrom(numpy_helper.from_array(mean, tensor.name))
description = next(entry for entry in first.metadata_props if entry.key == "clothseg.spec")
specs = [json.loads(entry.value) for model in (first, second) for entry in model.metadata_props if entry.key == "clothseg.spec"]
spec = json.loads(description.value)
spec["name"] = specs[1]["name"]
facts = specs[0]["training"]
spec["training"] = {key: facts[key] for key in ("licence", "loss", "trained_on", "validated_on", "encoder_weights")}
spec["training"]["average_of"] = [{"name": each["name"], **each["training"]} for each in specs]
description.value = json.dumps(spec, indent=2)
onnx.save(first, sys.argv[3])
