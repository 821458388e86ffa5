"""What can go wrong between a photo and its masks. Every message names the cause and what to do next."""

from __future__ import annotations

from collections.abc import Sequence


class ClothsegError(Exception):
    """The base of all errors of this package. Arguments of a wrong type or value are a TypeError or a ValueError, as everywhere."""


class ReadError(ClothsegError, OSError):
    """A file could not be read: `errno`, `filename`."""


class WriteError(ClothsegError, OSError):
    """A file could not be written: `errno`, `filename`."""


class DecodeError(ClothsegError, ValueError):
    """The bytes are no photo that can be read, or a damaged one."""


class TooLargeError(ClothsegError, ValueError):
    """The photo, or its file, is larger than is allowed (`max_megapixels`)."""


class UnknownClassError(ClothsegError, KeyError):
    """A name that is no class, alias or group of the model."""

    name: str
    """What was asked for."""
    nearest: str | None
    """The most similar name that there is."""
    known: tuple[str, ...]
    """All classes and groups of the model."""

    def __init__(self, message: str, name: str = "", nearest: str | None = None, known: Sequence[str] = ()) -> None:
        super().__init__(message, name, nearest, tuple(known))
        self.name, self.nearest, self.known = name, nearest, tuple(known)

    def __str__(self) -> str:
        # A KeyError quotes its message.
        return str(self.args[0])


class ModelError(ClothsegError, ValueError):
    """The model file cannot be used: it is no ONNX file, or its description is missing or does not fit."""


class EngineError(ClothsegError, RuntimeError):
    """What should run the model cannot: ONNX Runtime is missing, has no such provider, or failed."""
