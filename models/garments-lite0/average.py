#!/usr/bin/env python3
"""Writes the mean of two models that `clothseg-train export` wrote from one network: average.py A.onnx B.onnx OUT.onnx [SCORES]

Both must come from one chain of trainings, or the mean is of no use. The description is A's, but for how it was trained.
SCORES, a JSON object, goes into the description as `scores_on_network_grid`. Measure them on a file without:
`clothseg-train balance` prints both before it changes anything, with each --objective, for a config whose [[data.train]] is
the validation data. Needs PyPI's onnx and numpy.
"""

import json
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper


def description_of(path, model):
    """The metadata entry with the model's description."""
    for entry in model.metadata_props:
        if entry.key == "clothseg.spec":
            return entry
    sys.exit(f"{path}: has no clothseg description; give files that `clothseg-train export` or `balance` wrote")


if len(sys.argv) not in (4, 5):
    sys.exit("usage: average.py A.onnx B.onnx OUT.onnx [SCORES]")
try:
    scores = json.loads(sys.argv[4]) if len(sys.argv) == 5 else None
except ValueError as error:
    sys.exit(f"SCORES is no JSON: {error}")
paths = sys.argv[1:3]
models = [onnx.load(path) for path in paths]
entries = [description_of(path, model) for path, model in zip(paths, models)]
tensors = [{tensor.name: tensor for tensor in model.graph.initializer} for model in models]
steps = [[(node.op_type, list(node.input), list(node.output)) for node in model.graph.node] for model in models]
shapes = [{name: (list(tensor.dims), tensor.data_type) for name, tensor in each.items()} for each in tensors]
if steps[0] != steps[1] or shapes[0] != shapes[1]:
    sys.exit(f"{paths[0]} and {paths[1]} are not of one network, so that their mean means nothing")

for name, tensor in tensors[0].items():
    values = [numpy_helper.to_array(each[name]) for each in tensors]
    if values[0].dtype in (np.float16, np.float32):
        mean = np.mean([value.astype(np.float64) for value in values], axis=0).astype(values[0].dtype)
        tensor.CopyFrom(numpy_helper.from_array(mean, name))

specs = [json.loads(entry.value) for entry in entries]
shared = ("licence", "loss", "trained_on", "validated_on", "encoder_weights")
facts = {key: specs[0]["training"][key] for key in shared if key in specs[0]["training"]}
facts["average_of"] = [{"name": spec["name"], **spec["training"]} for spec in specs]
if scores is not None:
    facts["scores_on_network_grid"] = scores
entries[0].value = json.dumps({**specs[0], "name": specs[1]["name"], "training": facts}, indent=2)
# Written beside and renamed: whole or not at all.
onnx.save(models[0], sys.argv[3] + ".new")
os.replace(sys.argv[3] + ".new", sys.argv[3])
