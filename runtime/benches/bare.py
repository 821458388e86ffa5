"""The network alone: session.run in a loop, after one run that does not count. Prints `seconds S`.

    bare.py MODEL WIDTH HEIGHT RUNS
"""

import sys
import time

import numpy
import onnxruntime

model, width, height, runs = sys.argv[1], *map(int, sys.argv[2:])
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: numpy.random.default_rng(1).standard_normal((1, 3, height, width), numpy.float32)}
session.run(None, feed)
start = time.perf_counter()
for _ in range(runs):
    session.run(None, feed)
print(f"seconds {time.perf_counter() - start}")
