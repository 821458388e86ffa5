"""Cut garments out of photos: one exact mask or polygon per garment class, at the photo's own size.

>>> import clothseg
>>> segment = clothseg.Segmenter()
>>> result = segment("photo.jpg")
>>> result.mask("pants")            # (H, W), bool

See docs/python.md for everything.
"""

import os as _os

# ONNX Runtime's wheels since 1.30 keep a device id and may report their use unless this is set before the library is loaded.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from clothseg._clothseg import __version__
from clothseg._errors import (
    ClothsegError,
    DecodeError,
    EngineError,
    ModelError,
    ReadError,
    TooLargeError,
    UnknownClassError,
    WriteError,
)
from clothseg._images import ImageLike
from clothseg._remove import remove
from clothseg._result import Polygon, Region, Result
from clothseg._segmenter import Class, Segmenter

__all__ = [
    "Class",
    "ClothsegError",
    "DecodeError",
    "EngineError",
    "ImageLike",
    "ModelError",
    "Polygon",
    "ReadError",
    "Region",
    "Result",
    "Segmenter",
    "TooLargeError",
    "UnknownClassError",
    "WriteError",
    "__version__",
    "remove",
]
