"""One worker: a path in, files and a row out. It knows no engine: Ray, Daft, Dask and Spark call `one` as they call anything."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import socket
import time
from collections.abc import Iterable
from typing import Any, TypedDict

from clothseg import __version__, _clothseg
from clothseg._errors import ReadError
from clothseg._segmenter import Segmenter
from clothseg.cluster import _storage


class Class(TypedDict):
    """One class in a photo."""

    index: int
    name: str
    score: float
    area_px: int
    box: list[int]


class Row(TypedDict):
    """What became of a photo. `error` is empty where it is done."""

    path: str
    key: str
    width: int
    height: int
    classes: list[Class]
    files: list[str]
    error: str | None
    worker: str
    seconds: float
    finished_unix_ms: int


def job_key(
    *,
    formats: Iterable[str] = ("masks", "json"),
    classes: Iterable[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    **options: Any,
) -> str:
    """What results depend on besides the photo, as 16 digits: the model's content, the options, the version of clothseg."""
    content = "built in" if model is None else _hash_of(model)
    if "spec" in options and os.path.isfile(options["spec"] or ""):
        # Wherever the file lies.
        options["spec"] = _hash_of(options["spec"])
    # How fast it goes changes no result that somebody would do again.
    slow = {name: value for name, value in options.items() if name not in ("threads", "sessions", "library", "device")}
    wanted = None if classes is None else sorted(classes)
    facts = [__version__, content, sorted(formats), wanted, sorted(slow.items())]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]


def _hash_of(path: str | os.PathLike[str]) -> str:
    try:
        return hashlib.sha256(_storage.read(os.fspath(path))).hexdigest()
    except Exception as error:
        # Each store has errors of its own.
        errno, why = getattr(error, "errno", None) or 0, getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise ReadError(errno, why, os.fspath(path)) from error


class Worker:
    """Segments photos one after the other, and writes their files. Made on each worker; the model is opened at the first photo.

    Relative paths are those below the working folder in which it is made.

    Args:
        output: folder or address of the results. The files of `ROOT/a/b.jpg` are `OUTPUT/a/b.jpg.*`.
        root: folder or address that the photos lie in.
        formats, classes: as of `clothseg.Result.encode` and `clothseg.Segmenter`.
        options: other arguments of `clothseg.Segmenter`; one thread, where nothing is said.

    Raises:
        ReadError: for a model that cannot be read.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        *,
        root: str | os.PathLike[str],
        formats: Iterable[str] = ("masks", "json"),
        classes: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        for name, names in (("formats", formats), ("classes", classes)):
            if isinstance(names, str):
                raise TypeError(f"{name} is one text; a list of names is needed")
        self.output, self.root = _storage.absolute(output), _storage.absolute(root)
        self.formats = list(formats)
        self.classes = None if classes is None else list(classes)
        self.options: dict[str, Any] = {"threads": 1, **_with_absolute_files(options)}
        self.key = job_key(formats=self.formats, classes=self.classes, **options)
        self._segmenter: Segmenter | None = None

    def arguments(self) -> dict[str, Any]:
        """What makes the same worker elsewhere, whatever the working folder is there."""
        return {"output": self.output, "root": self.root, "formats": self.formats, "classes": self.classes, **self.options}

    def check(self) -> None:
        """Opens the model, so that what is wrong with it, with a class or a format is known before there are workers.

        A GPU that the options name may be one that only the workers have: here the processor runs the model.

        Raises:
            ClothsegError, ValueError, TypeError: as of `clothseg.Segmenter`.
        """
        options = dict(self.options)
        if options.get("provider") in ("cuda", "tensorrt"):
            options |= {"provider": "cpu", "device": 0}
        self._open(options)

    def one(self, path: str) -> Row:
        """Does one photo. What is wrong with it stands in its row. Only what is wrong for every photo is raised: a model that cannot be
        opened, an unknown class or format."""
        if self._segmenter is None:
            self._segmenter = self._open(self.options)
        began = time.perf_counter()
        row = Row(
            path=path,
            key=self.key,
            width=0,
            height=0,
            classes=[],
            files=[],
            error=None,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            seconds=0.0,
            finished_unix_ms=0,
        )
        try:
            self._fill(row, self._segmenter)
        except Exception as error:  # noqa: BLE001 - stores have errors of their own, and one photo must not stop the others
            row["error"] = f"{type(error).__name__}: {error}"
        row["seconds"] = round(time.perf_counter() - began, 4)
        row["finished_unix_ms"] = time.time_ns() // 1_000_000
        return row

    def _open(self, options: dict[str, Any]) -> Segmenter:
        _clothseg.Found.needs_pixels(self.formats)
        segmenter = Segmenter(**options)
        if self.classes is not None:
            segmenter._network.resolve(self.classes)
        return segmenter

    def _fill(self, row: Row, segmenter: Segmenter) -> None:
        path = row["path"]
        place = _storage.place_below(path, self.root)
        result = segmenter(_storage.read(path), classes=self.classes)
        row["width"], row["height"] = result.width, result.height
        row["classes"] = [
            Class(index=one.class_id, name=one.label, score=one.score, area_px=one.area, box=list(one.bbox))
            for one in result
        ]
        files = []
        for suffix, content in result.encode(self.formats).items():  # type: ignore[arg-type]
            # With the photo's suffix: no two photos share it, whichever workers have them.
            name = place + suffix
            _storage.write(posixpath.join(self.output, name), content)
            files.append(name)
        row["files"] = files


def _with_absolute_files(options: dict[str, Any]) -> dict[str, Any]:
    """The options with files as absolute paths. A description or library that is no file here is a name."""
    files = {name: options[name] for name in ("model", "spec", "library") if options.get(name) is not None}
    return options | {name: _storage.absolute(file) for name, file in files.items() if name == "model" or os.path.isfile(file)}
