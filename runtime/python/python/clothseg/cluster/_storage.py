"""Files on disks and in object stores. Addresses such as `s3://bucket/folder` go through fsspec, everything else does not need it."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from types import ModuleType
from typing import Any


def is_address(path: str) -> bool:
    """Whether this is `PROTOCOL://...`."""
    return re.match(r"[A-Za-z][\w+.:-]*://", path) is not None


def absolute(path: str | os.PathLike[str], *, paths: ModuleType = os.path) -> str:
    """The path that means the same in every working folder: `./photos` and `photos` have one. Addresses are left as they are.

    `paths` is `ntpath` for Windows' rules.
    """
    path = os.fspath(path)
    if path.startswith("file://"):
        path = path.removeprefix("file://")
        # A drive follows the third slash.
        path = path[1:] if re.match(r"/[A-Za-z]:", path) and paths.sep == "\\" else path
    return path if is_address(path) else str(paths.abspath(path))


def place_below(path: str, root: str, *, paths: ModuleType = os.path) -> str:
    """The path of a file below a folder, with `/` between its parts. It leads to no other folder, whatever it is added to.

    Raises:
        ValueError: for a file that is not below the folder, or whose name is a path on this system.
    """
    whole, above = absolute(path, paths=paths), absolute(root, paths=paths)
    local = not is_address(above)
    separator = str(paths.sep) if local else "/"
    folder = above.rstrip(separator) + separator
    # Windows takes letters of either case.
    same = paths.normcase if local else str
    is_inside = local != is_address(whole) and same(whole).startswith(same(folder))
    parts = [part for part in whole[len(folder) :].split(separator) if part not in ("", ".")] if is_inside else []
    if not parts or ".." in parts:
        raise ValueError(f"{path} is not below {root}")
    if paths.sep == "\\" and any(mark in part for part in parts for mark in "\\:"):
        raise ValueError(f"{path}: a name with '\\' or ':' would be a path on this system")
    return "/".join(parts)


def read(path: str) -> bytes:
    """All of a file."""
    if is_address(path):
        files, name = files_at(path)
        content: bytes = files.cat_file(name)
        return content
    return Path(path).read_bytes()


def write(path: str, content: bytes) -> None:
    """A file, whole or not at all. An object store has it whole by itself."""
    if is_address(path):
        files, name = files_at(path)
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


def parquet_files(folder: str) -> list[str]:
    """The parts of a table, as full paths or addresses; none where there is no such folder."""
    if is_address(folder):
        files, root = files_at(folder)
        # Workers have written since, which an earlier listing that is kept does not say.
        files.invalidate_cache()
        try:
            found = sorted(files.find(root))
        except FileNotFoundError:
            return []
        return [files.unstrip_protocol(name) for name in found if name.endswith(".parquet")]
    if not os.path.isdir(folder):
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries if entry.name.endswith(".parquet") and entry.is_file())


def remove(path: str) -> None:
    """A file that is of no use."""
    if is_address(path):
        files, name = files_at(path)
        files.rm_file(name)
    else:
        os.remove(path)


def files_at(address: str) -> tuple[Any, str]:
    """The store of an address, as fsspec has it, and the name there."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(f"{address}: 'pip install fsspec', and the package of its protocol, such as s3fs") from error
    files, name = fsspec.core.url_to_fs(address)
    return files, name


def _is_local(files: Any) -> bool:
    protocol = files.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)
