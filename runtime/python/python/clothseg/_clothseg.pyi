"""The native part: see runtime/python/src."""

import os
from collections.abc import Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HEAD_BYTES",
    "PHOTO",
    "Found",
    "Network",
    "Photo",
    "__version__",
    "has_photo_suffix",
    "is_of_system",
    "kind_of",
    "processors",
    "run_program",
    "write_file",
]

__version__: str
HEAD_BYTES: int
PHOTO: str

def run_program(arguments: Sequence[str | os.PathLike[str]]) -> int: ...
def processors() -> int: ...
def kind_of(name: str, head: bytes) -> str | None: ...
def has_photo_suffix(name: str) -> bool: ...
def is_of_system(name: str) -> bool: ...
def write_file(path: str | os.PathLike[str], content: bytes) -> None: ...
@final
class Photo:
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def is_reduced(self) -> bool: ...

@final
class Network:
    def __new__(
        cls,
        *,
        model: str | os.PathLike[str] | None,
        spec: str | None,
        provider: str,
        library: str | os.PathLike[str] | None,
        threads: int | None,
        sessions: int,
        device: int,
        quality: str,
        cleanup: bool,
        min_share: float,
        fill_holes: bool,
        largest: bool,
        grow: str,
        max_pixels: int,
    ) -> Network: ...
    @property
    def classes(
        self,
    ) -> list[tuple[str, list[str], tuple[int, int, int], Literal["garment", "person"]]]: ...
    @property
    def groups(self) -> list[tuple[str, list[str]]]: ...
    @property
    def most_sessions(self) -> int: ...
    def engine(self) -> dict[str, Any]: ...
    def open_photo(self, path: str | os.PathLike[str], full: bool) -> Photo: ...
    def decode_photo(self, content: bytes, full: bool) -> Photo: ...
    def take_photo(self, pixels: NDArray[np.uint8]) -> Photo: ...
    def segment(self, photo: Photo, classes: Sequence[int] | None) -> Found: ...
    def resolve(self, names: Sequence[str]) -> list[int]: ...

@final
class Found:
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def timings_ms(self) -> tuple[float, float, float, float]: ...
    @property
    def regions(self) -> list[tuple[int, str, float, int, float, tuple[int, int, int, int]]]: ...
    def labels(self) -> NDArray[np.uint8]: ...
    def resolve(self, name: str) -> list[int]: ...
    def masks(self, sets: Sequence[Sequence[int]]) -> NDArray[np.bool_]: ...
    def soft_mask(self, classes: Sequence[int]) -> NDArray[np.uint8]: ...
    def polygons(
        self, classes: Sequence[int], smooth: bool, tolerance: float | None, min_area: float | None
    ) -> list[tuple[NDArray[np.float32], list[NDArray[np.float32]]]]: ...
    def overlay(self, photo: Photo) -> NDArray[np.uint8]: ...
    def cutout(
        self, photo: Photo, classes: Sequence[int], alpha: str, crop_margin: str | None
    ) -> tuple[NDArray[np.uint8], bytes | None] | None: ...
    def coco(self, form: str, name: str, smooth: bool, tolerance: float | None) -> str | None: ...
    def export(
        self,
        photo: Photo | None,
        formats: Sequence[str],
        *,
        name: str,
        path: str,
        smooth: bool,
        tolerance: float | None,
        alpha: str,
        crop_margin: str,
    ) -> list[tuple[str, bytes]]: ...
    @staticmethod
    def needs_pixels(formats: Sequence[str]) -> bool: ...
