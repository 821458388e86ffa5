"""What one writes without a library: OpenCV and onnxruntime over a folder; logits resized to the photo, argmax, a PNG a class.

    script.py MODEL PHOTOS OUTPUT

MODEL is an ONNX file with clothseg's description in its metadata, or one of u2net's clothing interface beside none.
"""

import json
import pathlib
import sys

import cv2
import numpy
import onnxruntime

model, photos, output = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map.get("clothseg.spec")
if facts:
    spec = json.loads(facts)
    mean, std = numpy.float32(spec["input"]["mean"]), numpy.float32(spec["input"]["std"])
    fit = spec["input"]["fit"]["longest-side"]
    names = [one["name"] for one in spec["classes"]]
else:
    mean = std = numpy.float32([0.5, 0.5, 0.5])
    fit, names = None, ["background", "upper", "lower", "full"]


def tensor(photo):
    """The network's input, and the share of it that the photo fills."""
    if fit is None:
        small, (rows, columns) = cv2.resize(photo, (768, 768), interpolation=cv2.INTER_AREA), (768, 768)
    else:
        scale = fit["size"] / max(photo.shape[:2])
        rows, columns = (max(1, round(side * scale)) for side in photo.shape[:2])
        small = cv2.resize(photo, (columns, rows), interpolation=cv2.INTER_AREA)
        pad = [-side % fit["multiple"] for side in (rows, columns)]
        small = numpy.pad(small, ((0, pad[0]), (0, pad[1]), (0, 0)))
    planes = ((small.astype(numpy.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    return planes, (rows / small.shape[0], columns / small.shape[1])


output.mkdir(parents=True, exist_ok=True)
for path in sorted(photos.iterdir()):
    photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    planes, share = tensor(photo)
    logits = session.run(None, {session.get_inputs()[0].name: planes})[0][0]
    logits = logits[:, : round(logits.shape[1] * share[0]), : round(logits.shape[2] * share[1])]
    height, width = photo.shape[:2]
    full = numpy.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in logits])
    labels = full.argmax(0).astype(numpy.uint8)
    for index in numpy.unique(labels):
        if index > 0:
            cv2.imwrite(str(output / f"{path.stem}.{names[index]}.png"), numpy.where(labels == index, 255, 0).astype(numpy.uint8))
