"""Logits to class indices at a photo's size, the plain way. Prints `seconds S` of one run and `memory_mb M` beyond what was
there before.

    full_size.py torch|opencv LOGITS CLASSES ROWS COLUMNS WIDTH HEIGHT

LOGITS: float32, class after class, row after row.
"""

import resource
import sys
import time

import numpy

tool, path = sys.argv[1:3]
classes, rows, columns, width, height = map(int, sys.argv[3:])
logits = numpy.fromfile(path, numpy.float32).reshape(classes, rows, columns)

if tool == "torch":
    import torch

    def run(logits, height, width):
        batch = torch.from_numpy(logits)[None]
        with torch.inference_mode():
            full = torch.nn.functional.interpolate(batch, (height, width), mode="bilinear", align_corners=False)
            return full.argmax(1).to(torch.uint8)

else:
    import cv2

    def run(logits, height, width):
        full = numpy.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in logits])
        return full.argmax(0).astype(numpy.uint8)


run(logits, 64, 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
run(logits, height, width)
print(f"seconds {time.perf_counter() - start}")
print(f"memory_mb {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}")
