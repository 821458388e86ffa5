"""The background removed, in one call, as the package rembg has it."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from clothseg._images import decode, source_of
from clothseg._segmenter import Segmenter

if TYPE_CHECKING:
    import PIL.Image

_session: Segmenter | None = None
_lock = threading.Lock()


def _default() -> Segmenter:
    global _session
    with _lock:
        if _session is None:
            _session = Segmenter()
        return _session


@overload
def remove(
    data: bytes | bytearray | memoryview,
    *,
    session: Segmenter | None = None,
    classes: Iterable[str] = ("garment",),
    only_mask: bool = False,
) -> bytes: ...
@overload
def remove(
    data: NDArray[np.uint8],
    *,
    session: Segmenter | None = None,
    classes: Iterable[str] = ("garment",),
    only_mask: bool = False,
) -> NDArray[np.uint8]: ...
@overload
def remove(
    data: str | os.PathLike[str] | PIL.Image.Image,
    *,
    session: Segmenter | None = None,
    classes: Iterable[str] = ("garment",),
    only_mask: bool = False,
) -> PIL.Image.Image: ...
def remove(
    data: Any, *, session: Segmenter | None = None, classes: Iterable[str] = ("garment",), only_mask: bool = False
) -> Any:
    """Leaves only the garments of a photo, and gives it back as what it was given.

    Args:
        data: the content of a file (a PNG comes back), an array, a PIL image or a path (a PIL image comes back).
        session: an open model; without it one is opened at the first call and kept.
        classes: names, aliases or groups of what stays.
        only_mask: the mask with smooth edges (H, W) instead of the photo with it as alpha (H, W, 4).
    """
    if isinstance(classes, str):
        raise TypeError("classes is one text; a list of names is needed, such as ['shirt', 'pants']")
    import PIL.Image

    segmenter = session if session is not None else _default()
    network = segmenter._network
    wanted = network.resolve(list(classes))
    source = source_of(data)
    # All pixels are needed: they are decoded once.
    photo = decode(network, source, full=True)
    cut = network.segment(photo, wanted).cutout(photo, wanted, "smooth", None)
    assert cut is not None, "only a crop can be empty"
    pixels, profile = cut
    if only_mask:
        pixels, profile = np.ascontiguousarray(pixels[:, :, 3]), None
    if isinstance(data, np.ndarray):
        return pixels
    image = PIL.Image.fromarray(pixels)
    if profile is not None:
        image.info["icc_profile"] = profile
    if not isinstance(data, bytes | bytearray | memoryview):
        return image
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1, icc_profile=profile)
    return buffer.getvalue()
