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

from clothseg import __version__
from clothseg._errors import ClothsegError
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
    content = "built in" if model is None else hashlib.sha256(_storage.read(os.fspath(model))).hexdigest()
    # How fast it goes changes no result that somebody would do again.
    slow = {name: value for name, value in options.items() if name not in ("threads", "sessions", "library", "device")}
    wanted = None if classes is None else sorted(classes)
    facts = [__version__, content, sorted(formats), wanted, sorted(slow.items())]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]


class Worker:
    """Segments photos one after the other, and writes their files. Made on each worker; the model is opened at the first photo.

    Args:
        output: folder or address of the results. The files of `ROOT/a/b.jpg` are `OUTPUT/a/b.jpg.*`.
        root: folder or address that the photos lie in.
        formats, classes: as of `clothseg.Result.encode` and `clothseg.Segmenter`.
        options: other arguments of `clothseg.Segmenter`; one thread, where nothing is said.
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
        self.output, self.root = os.fspath(output), os.fspath(root)
        self.formats = list(formats)
        self.classes = None if classes is None else list(classes)
        self.options: dict[str, Any] = {"threads": 1, **options}
        self.key = job_key(formats=self.formats, classes=self.classes, **options)
        self._segmenter: Segmenter | None = None

    def one(self, path: str) -> Row:
        """Does one photo. What is wrong with it stands in its row; a model that cannot be opened is raised."""
        if self._segmenter is None:
            self._segmenter = Segmenter(**self.options)
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
        except (ClothsegError, OSError, ValueError) as error:
            row["error"] = f"{type(error).__name__}: {error}"
        row["seconds"] = round(time.perf_counter() - began, 4)
        row["finished_unix_ms"] = time.time_ns() // 1_000_000
        return row

    def _fill(self, row: Row, segmenter: Segmenter) -> None:
        path = row["path"]
        stem = self._stem(path)
        result = segmenter(_storage.read(path), classes=self.classes)
        row["width"], row["height"] = result.width, result.height
        row["classes"] = [
            Class(index=one.class_id, name=one.label, score=one.score, area_px=one.area, box=list(one.bbox))
            for one in result
        ]
        files = []
        for suffix, content in result.encode(self.formats).items():  # type: ignore[arg-type]
            name = stem + suffix
            _storage.write(posixpath.join(self.output, name), content)
            files.append(name)
        row["files"] = files

    def _stem(self, path: str) -> str:
        """The photo's path below the root, with its suffix: no two photos share it, whichever workers have them."""
        root = self.root.rstrip("/").removeprefix("file://") + "/"
        plain = path.removeprefix("file://")
        below = plain.removeprefix(root) if plain.startswith(root) else None
        if below is None or ".." in below.split("/"):
            raise ValueError(f"{path} is not below {self.root}")
        return below
