"""The Python package over a folder: `Segmenter.stream`, and one mask per class of each photo.

    stream.py PHOTOS [OUTPUT]

With OUTPUT the masks are written as PNG, as clothseg-run does, else they are arrays.
"""

import pathlib
import sys

import clothseg

photos = sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_file())
output = sys.argv[2] if len(sys.argv) > 2 else None
for result in clothseg.Segmenter().stream(photos):
    if output is None:
        result.masks()
    else:
        result.save(output, formats=["masks"])
