"""Everything that an image may be given as, to what the native part takes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from clothseg._errors import DecodeError, ReadError

if TYPE_CHECKING:
    import PIL.Image

    from clothseg import _clothseg

ImageLike: TypeAlias = Union[
    str, "os.PathLike[str]", bytes, bytearray, memoryview, NDArray[np.uint8], "PIL.Image.Image"
]
"""A path (never a URL), the content of a file, an array of (H, W, 3) in RGB, (H, W) or (H, W, 4), or a PIL image."""

#: What the native part takes: a path, the content of a file, or contiguous pixels (H, W, 3).
Source: TypeAlias = Union[Path, bytes, NDArray[np.uint8]]

_KINDS = "a path, bytes, bytearray, memoryview, a NumPy array or a PIL image"


def source_of(image: Any) -> Source:
    """Tells the kinds apart. Pixels are laid out as the native part needs them; nothing is decoded yet."""
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        if not isinstance(path, str):
            raise TypeError("a path of bytes; os.fsdecode() makes text of it")
        if path.startswith(("http://", "https://")):
            raise ReadError(0, "an address: nothing is fetched, read it yourself and give its bytes", path)
        return Path(path)
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        # They may change while they are read.
        return bytes(image)
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if is_pil(image):
        return _from_pil(image)
    raise TypeError(f"an image of type {type(image).__name__}; {_KINDS} is needed")


def decode(network: _clothseg.Network, source: Source, *, full: bool) -> _clothseg.Photo:
    """Decodes every pixel, or as far as the network needs it."""
    if isinstance(source, Path):
        return network.open_photo(source, full)
    if isinstance(source, bytes):
        return network.decode_photo(source, full)
    return network.take_photo(source)


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise TypeError(f"an array of {array.dtype}; uint8 is needed, 0 to 255, such as (array * 255).astype(np.uint8)")
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise ValueError(f"an array of shape {array.shape}; (H, W, 3) in RGB, (H, W) or (H, W, 4) is needed")
    if array.shape[2] == 4:
        array = _over_white(array)
    return np.ascontiguousarray(array)


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Transparent pixels laid over white, as those of files are."""
    alpha = rgba[:, :, 3:].astype(np.uint16)
    over = (rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return over.astype(np.uint8)


def is_pil(image: object) -> bool:
    """Whether this is an image of PIL's."""
    # An image of PIL's is there only where PIL is imported already.
    return any(one.__module__.startswith("PIL.") and one.__name__ == "Image" for one in type(image).__mro__)


def _from_pil(image: PIL.Image.Image) -> NDArray[np.uint8]:
    import PIL.Image
    import PIL.ImageOps

    try:
        upright = PIL.ImageOps.exif_transpose(image)
        return _from_array(_pil_pixels(upright if upright is not None else image))
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise DecodeError(f"not a readable photo: {error}") from error


def _pil_pixels(image: PIL.Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        # 16 bits, whichever way they are held; convert() would cut off what is above 255.
        wide = np.asarray(image).astype(np.int64)
        return np.clip((wide + 128) // 257, 0, 255).astype(np.uint8)
    if image.mode == "F":
        raise TypeError("a PIL image of mode F, whose range is not known; convert it to L or RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(_to_srgb(image))


def _to_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """RGB, converted from the image's ICC profile where it has a usable one for RGB."""
    profile = image.info.get("icc_profile")
    if image.mode != "RGB":
        return image.convert("RGB")
    if not profile:
        return image
    try:
        from PIL import ImageCms

        converted = ImageCms.profileToProfile(
            image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except Exception:  # noqa: BLE001 - PIL built without it, or a profile that is none
        return image
    return converted if converted is not None else image
