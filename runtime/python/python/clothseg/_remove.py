"""The background removed, in one call, as the package rembg has it."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from clothseg._images import decode, source_of
from clothseg._result import Alpha
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
    alpha_matting: bool = False,
    alpha_matting_foreground_threshold: int = 240,
    alpha_matting_background_threshold: int = 10,
    alpha_matting_erode_size: int = 10,
    session: Segmenter | None = None,
    only_mask: bool = False,
    post_process_mask: bool = False,
    bgcolor: Sequence[int] | None = None,
    force_return_bytes: bool = False,
    *,
    classes: Iterable[str] = ("garment",),
) -> bytes: ...
@overload
def remove(
    data: NDArray[np.uint8],
    alpha_matting: bool = False,
    alpha_matting_foreground_threshold: int = 240,
    alpha_matting_background_threshold: int = 10,
    alpha_matting_erode_size: int = 10,
    session: Segmenter | None = None,
    only_mask: bool = False,
    post_process_mask: bool = False,
    bgcolor: Sequence[int] | None = None,
    force_return_bytes: Literal[False] = False,
    *,
    classes: Iterable[str] = ("garment",),
) -> NDArray[np.uint8]: ...
@overload
def remove(
    data: str | os.PathLike[str] | PIL.Image.Image,
    alpha_matting: bool = False,
    alpha_matting_foreground_threshold: int = 240,
    alpha_matting_background_threshold: int = 10,
    alpha_matting_erode_size: int = 10,
    session: Segmenter | None = None,
    only_mask: bool = False,
    post_process_mask: bool = False,
    bgcolor: Sequence[int] | None = None,
    force_return_bytes: Literal[False] = False,
    *,
    classes: Iterable[str] = ("garment",),
) -> PIL.Image.Image: ...
@overload
def remove(
    data: str | os.PathLike[str] | PIL.Image.Image | NDArray[np.uint8],
    alpha_matting: bool = False,
    alpha_matting_foreground_threshold: int = 240,
    alpha_matting_background_threshold: int = 10,
    alpha_matting_erode_size: int = 10,
    session: Segmenter | None = None,
    only_mask: bool = False,
    post_process_mask: bool = False,
    bgcolor: Sequence[int] | None = None,
    *,
    force_return_bytes: Literal[True],
    classes: Iterable[str] = ("garment",),
) -> bytes: ...
def remove(
    data: Any,
    alpha_matting: bool = False,
    alpha_matting_foreground_threshold: int = 240,
    alpha_matting_background_threshold: int = 10,
    alpha_matting_erode_size: int = 10,
    session: Segmenter | None = None,
    only_mask: bool = False,
    post_process_mask: bool = False,
    bgcolor: Sequence[int] | None = None,
    force_return_bytes: bool = False,
    *,
    classes: Iterable[str] = ("garment",),
) -> Any:
    """Leaves only the garments of a photo, and gives it back as what it was given.

    Args:
        data: the content of a file (a PNG comes back), an array, a PIL image or a path (a PIL image comes back).
        alpha_matting: alpha is how likely a garment is there, from the network, in place of the mask with smooth edges.
        alpha_matting_foreground_threshold: with it, what is likelier than this, of 255, is shown wholly.
        alpha_matting_background_threshold: with it, what is less likely than this is left out.
        alpha_matting_erode_size: has no effect.
        session: an open model; without it one is opened at the first call and kept.
        only_mask: the mask (H, W) instead of the photo with it as alpha (H, W, 4). `alpha_matting` and `bgcolor` do not count then.
        post_process_mask: the mask itself, 0 or 255, without smooth edges.
        bgcolor: red, green, blue and alpha, 0 to 255, of what lies behind the garments.
        force_return_bytes: a PNG comes back, whatever was given.
        classes: names, aliases or groups of what stays.
    """
    if isinstance(classes, str):
        raise TypeError("classes is one text; a list of names is needed, such as ['shirt', 'pants']")
    if session is not None and not isinstance(session, Segmenter):
        raise TypeError(f"a session of type {type(session).__name__}; a clothseg.Segmenter is needed")
    is_soft = alpha_matting and not only_mask
    alpha: Alpha = "soft" if is_soft else "hard" if post_process_mask else "smooth"
    pixels, profile = _cut(data, session if session is not None else _default(), list(classes), alpha)
    if is_soft:
        _decide(pixels, alpha_matting_foreground_threshold, alpha_matting_background_threshold)
    if only_mask:
        pixels, profile = np.ascontiguousarray(pixels[:, :, 3]), None
    elif bgcolor is not None:
        pixels = _over(pixels, bgcolor)
    return _as_given(data, pixels, profile, force_return_bytes)


def _cut(
    data: Any, segmenter: Segmenter, classes: list[str], alpha: Alpha
) -> tuple[NDArray[np.uint8], bytes | None]:
    """The photo with the classes as alpha, and its ICC profile."""
    network = segmenter._network
    wanted = network.resolve(classes)
    # All pixels are needed: they are decoded once.
    photo = decode(network, source_of(data), full=True)
    cut = network.segment(photo, wanted).cutout(photo, wanted, alpha, None)
    assert cut is not None, "only a crop can be empty"
    return cut


def _decide(pixels: NDArray[np.uint8], foreground: int, background: int) -> None:
    """Makes what is likely enough opaque, and what is not likely transparent, without a colour."""
    alpha = pixels[:, :, 3]
    alpha[alpha > foreground] = 255
    pixels[alpha < background] = 0


def _over(pixels: NDArray[np.uint8], color: Sequence[int]) -> NDArray[np.uint8]:
    import PIL.Image

    if len(color) != 4 or not all(0 <= value <= 255 for value in color):
        raise ValueError(f"bgcolor={color!r}: red, green, blue and alpha are needed, each 0 to 255")
    image = PIL.Image.fromarray(pixels)
    red, green, blue, alpha = color
    return np.array(PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, (red, green, blue, alpha)), image))


def _as_given(data: Any, pixels: NDArray[np.uint8], profile: bytes | None, as_bytes: bool) -> Any:
    """The pixels as what the photo was given as."""
    import PIL.Image

    as_bytes = as_bytes or isinstance(data, bytes | bytearray | memoryview)
    if isinstance(data, np.ndarray) and not as_bytes:
        return pixels
    image = PIL.Image.fromarray(pixels)
    if profile is not None:
        image.info["icc_profile"] = profile
    if not as_bytes:
        return image
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1, icc_profile=profile)
    return buffer.getvalue()
