"""Files on disks and in object stores. Addresses such as `s3://bucket/folder` go through fsspec, everything else does not need it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def is_address(path: str) -> bool:
    """Whether this is `PROTOCOL://...`."""
    return "://" in path


def list_photos(folder: str | os.PathLike[str]) -> list[str]:
    """The photos in a folder and all folders below it, by their names, in order; of an address with its protocol."""
    folder = os.fspath(folder)
    if is_address(folder):
        files, root = _files_at(folder)
        # As the folder is written, so that a photo's place in it can be told.
        names = sorted(name[len(root.rstrip("/")) :] for name in files.find(root))
        return [folder.rstrip("/") + name for name in names if name.lower().endswith(SUFFIXES)]
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is no folder")
    found = (os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.lower().endswith(SUFFIXES))


def read(path: str) -> bytes:
    """All of a file."""
    if is_address(path):
        files, name = _files_at(path)
        content: bytes = files.cat_file(name)
        return content
    return Path(path).read_bytes()


def write(path: str, content: bytes) -> None:
    """A file, whole or not at all. An object store has it whole by itself."""
    if is_address(path):
        files, name = _files_at(path)
        if _is_local(files):
            path = name
        else:
            files.pipe_file(name, content)
            return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{socket.gethostname()}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, target)


def remove_leftovers(folder: str) -> None:
    """Removes what workers that were killed had begun to write. For an end, when nothing writes there any more."""
    for where, _, names in os.walk(folder):
        for name in names:
            if re.fullmatch(r".+\.\d+\.part", name):
                os.remove(os.path.join(where, name))


def parquet_files(folder: str) -> Iterator[str]:
    """The parts of a table, as full paths or addresses; none where there is no such folder."""
    if is_address(folder):
        files, root = _files_at(folder)
        if files.exists(root):
            yield from (files.unstrip_protocol(name) for name in sorted(files.find(root)) if name.endswith(".parquet"))
    elif os.path.isdir(folder):
        yield from sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".parquet"))


def remove(path: str) -> None:
    """A file that is of no use."""
    if is_address(path):
        files, name = _files_at(path)
        files.rm_file(name)
    else:
        os.remove(path)


def _files_at(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(f"{address}: 'pip install fsspec', and the package of its protocol, such as s3fs") from error
    files, name = fsspec.core.url_to_fs(address)
    return files, name


def _is_local(files: Any) -> bool:
    protocol = files.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)
