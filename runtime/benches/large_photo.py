"""Writes a large JPEG as a camera would: a small photo enlarged, with the noise of a sensor. Needs OpenCV and numpy.

    large_photo.py PHOTO FILE WIDTH HEIGHT COPIES

FILE may hold `{}`, for the number of the copy; each has noise of its own.
"""

import sys

import cv2
import numpy

source, target = sys.argv[1:3]
width, height, copies = map(int, sys.argv[3:])
large = cv2.resize(cv2.imread(source), (width, height), interpolation=cv2.INTER_CUBIC).astype(numpy.float32)
for number in range(copies):
    noise = numpy.random.default_rng(number).normal(0, 4, (height, width, 1)).astype(numpy.float32)
    noisy = numpy.clip(large + noise, 0, 255).astype(numpy.uint8)
    cv2.imwrite(target.replace("{}", str(number)), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
