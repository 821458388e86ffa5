"""An open model."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final, overload

import numpy as np

from clothseg import _clothseg, _library
from clothseg._errors import ClothsegError, ModelError
from clothseg._images import ImageLike, decode, is_pil, source_of
from clothseg._result import Result

Provider = Literal["auto", "cpu", "cuda", "tensorrt", "embedded"]
Quality = Literal["fast", "best"]


@dataclass(frozen=True, slots=True)
class Class:
    """A class of a model."""

    index: int
    """The value in label maps; 0 is the background."""
    name: str
    aliases: tuple[str, ...]
    """Other names for it."""
    color: tuple[int, int, int]
    """Red, green, blue in overlays."""
    kind: Literal["garment", "person"]
    """Hair and skin are classes of persons, where a model knows them."""


@final
class Segmenter:
    """An open model. One serves any number of photos and threads; it pickles as its arguments.

    Args:
        model: an ONNX file; the model that is built in without it.
        spec: what the model expects and returns, where its file does not say: a JSON file, or the name of a known description.
        provider: what runs the model. What is named runs or fails with the reason; `auto` takes a GPU where it can.
        threads: threads for one run of the network; all processors, shared out over the sessions, without it.
        sessions: runs of the network at once. Without it one, and in `stream` one a worker.
        quality: `best` looks at the mirror image, too, in twice the time.
        library: ONNX Runtime's library; without it `ORT_DYLIB_PATH`, the package onnxruntime or onnxruntime-gpu, or the system's.
        device: which GPU, counted from 0.
        cleanup: whether small and doubtful areas are cleaned up, where the model's description says how.
        min_share: smallest share of the photo that a class must have, 0 to 1; classes with less are left out.
        fill_holes: whether holes of masks are filled.
        largest: whether only the largest piece of each class stays.
        grow: how far masks grow, in pixels or, as a text such as "0.5%", per cent of the longer side; less than 0 shrinks.
        max_megapixels: the largest photo that is decoded.

    Raises:
        ReadError, ModelError: for the file.
        EngineError: for what should run it.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        spec: str | os.PathLike[str] | None = None,
        provider: Provider = "auto",
        threads: int | None = None,
        sessions: int | None = None,
        quality: Quality = "fast",
        library: str | os.PathLike[str] | None = None,
        device: int = 0,
        cleanup: bool = True,
        min_share: float = 0.0005,
        fill_holes: bool = False,
        largest: bool = False,
        grow: float | str = 0,
        max_megapixels: int = 128,
    ) -> None:
        for name, value in (("threads", threads), ("sessions", sessions), ("max_megapixels", max_megapixels)):
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: 1 or more is needed")
        if device < 0:
            raise ValueError(f"device={device}: GPUs are counted from 0")
        self._arguments: dict[str, Any] = {
            "model": None if model is None else os.fspath(model),
            "spec": None if spec is None else os.fspath(spec),
            "provider": provider,
            "threads": threads,
            "sessions": sessions,
            "quality": quality,
            "library": None if library is None else os.fspath(library),
            "device": device,
            "cleanup": cleanup,
            "min_share": min_share,
            "fill_holes": fill_holes,
            "largest": largest,
            "grow": str(grow),
            "max_megapixels": max_megapixels,
        }
        self._network = self._open(sessions or 1)
        self._many: _clothseg.Network | None = None
        self._lock = threading.Lock()
        rows = enumerate(self._network.classes)
        self._classes = tuple(Class(i, name, tuple(aliases), color, kind) for i, (name, aliases, color, kind) in rows)
        self._groups = MappingProxyType({name: tuple(members) for name, members in self._network.groups})
        self._names = MappingProxyType({one.index: one.name for one in self._classes})

    @property
    def classes(self) -> Sequence[Class]:
        """The classes of the model in the order of their indices; the first is the background."""
        return self._classes

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Names of groups, which stand for several classes, and the classes in them."""
        return self._groups

    @property
    def engine(self) -> Mapping[str, Any]:
        """What runs the model (`provider`, `library`, `version`, `path`, `threads`, `sessions`, `note`) and the model (`model`,
        `model_hash`, `quality`, `cleans_up`)."""
        return MappingProxyType(self._network.engine())

    def __call__(self, image: ImageLike, *, classes: Iterable[str] | None = None) -> Result:
        """Segments one photo at its own size.

        Args:
            image: a path (never a URL), the content of a file, an array of (H, W, 3) in RGB, or a PIL image.
            classes: names, aliases or groups of what is wanted; all garments without it.

        Raises:
            ReadError, DecodeError, TooLargeError: for the photo.
            UnknownClassError: for a name.
            EngineError: when the network fails.
        """
        return self._one(self._network, image, self._wanted(classes))

    @overload
    def stream(
        self,
        images: Iterable[ImageLike],
        *,
        classes: Iterable[str] | None = None,
        workers: int | None = None,
        on_error: Literal["raise"] = "raise",
    ) -> Iterator[Result]: ...
    @overload
    def stream(
        self,
        images: Iterable[ImageLike],
        *,
        classes: Iterable[str] | None = None,
        workers: int | None = None,
        on_error: Literal["return"],
    ) -> Iterator[Result | ClothsegError]: ...
    def stream(
        self,
        images: Iterable[ImageLike],
        *,
        classes: Iterable[str] | None = None,
        workers: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Iterator[Result] | Iterator[Result | ClothsegError]:
        """Segments many photos in threads and gives the results in the order of the photos.

        Photos are taken from `images` as they are needed, at most two a worker ahead, so it may be a generator without end.

        Args:
            images: photos, as for one; of arrays a list or one of (N, H, W, 3).
            classes: as for one photo.
            workers: photos at a time; one a processor without it.
            on_error: `return` gives the error in the place of the photo's result, and goes on.
        """
        if on_error not in ("raise", "return"):
            raise ValueError(f"on_error={on_error!r}: 'raise' or 'return' is needed")
        if workers is not None and workers < 1:
            raise ValueError(f"workers={workers}: 1 or more is needed")
        _check_several(images)
        wanted, source = self._wanted(classes), iter(images)
        count = workers or _clothseg.processors()
        return self._stream(self._network_for(count), source, wanted, count, on_error == "return")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._arguments,)

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items() if value is not None)
        return f"Segmenter({given})"

    def _open(self, sessions: int) -> _clothseg.Network:
        options = dict(self._arguments)
        megapixels = options.pop("max_megapixels")
        options["sessions"] = sessions
        if options["library"] is None and options["provider"] != "embedded":
            options["library"] = _library.find()
        try:
            return _clothseg.Network(max_pixels=megapixels * 1_000_000, **options)
        except ModelError as error:
            if options["model"] is None:
                raise
            raise ModelError(f"{options['model']}: {error}") from None
        except OverflowError as error:
            raise ValueError(f"one of the numbers is too large: {error}") from None

    def _network_for(self, workers: int) -> _clothseg.Network:
        """On a processor whole photos side by side, each with a session of its own, are the fastest way through many."""
        alone = self._arguments["sessions"] is not None or workers == 1
        if alone or self._network.engine()["provider"] in ("cuda", "tensorrt"):
            return self._network
        sessions = min(workers, self._network.most_sessions)
        with self._lock:
            if self._many is None or self._many.engine()["sessions"] != sessions:
                self._many = self._open(sessions)
            return self._many

    def _wanted(self, classes: Iterable[str] | None) -> list[int] | None:
        if classes is None:
            return None
        if isinstance(classes, str):
            raise TypeError("classes is one text; a list of names is needed, such as ['shirt', 'pants']")
        return self._network.resolve(list(classes))

    def _one(self, network: _clothseg.Network, image: ImageLike, classes: list[int] | None) -> Result:
        source = source_of(image)
        photo = decode(network, source, full=False)
        return Result(network, network.segment(photo, classes), source, self._names)

    def _stream(
        self,
        network: _clothseg.Network,
        images: Iterator[ImageLike],
        classes: list[int] | None,
        workers: int,
        gives_errors: bool,
    ) -> Iterator[Result | ClothsegError]:
        pending: deque[Future[Result]] = deque()
        pool = ThreadPoolExecutor(workers, thread_name_prefix="clothseg")

        def ended() -> Result | ClothsegError:
            try:
                return pending.popleft().result()
            except ClothsegError as error:
                if not gives_errors:
                    raise
                return error

        try:
            for image in images:
                pending.append(pool.submit(self._one, network, image, classes))
                if len(pending) >= 2 * workers:
                    yield ended()
            while pending:
                yield ended()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _check_several(images: object) -> None:
    """Refuses a single image, whose rows would be taken for images."""
    # Arrays of paths, and lists that NumPy made an array of, hold images.
    is_array = isinstance(images, np.ndarray) and images.dtype.kind not in "OU" and images.ndim < 4
    if is_array or is_pil(images) or isinstance(images, str | bytes | bytearray | memoryview | os.PathLike):
        more = f" (list(array), where this one of shape {images.shape} holds several)" if isinstance(images, np.ndarray) else ""
        raise TypeError(f"stream needs several images, such as a list{more}; call the segmenter itself with one")


def _restore(arguments: dict[str, Any]) -> Segmenter:
    return Segmenter(**arguments)
