"""Which photos there are in a folder or below an address."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from clothseg._errors import ReadError
from clothseg.cluster import _storage
from clothseg.cluster._kinds import HEAD_BYTES, PHOTO, has_photo_suffix, is_of_system, kind_by_name, kind_of, suffix_of

#: Files of an object store that are looked into at a time.
LOOKS = 32


@dataclass
class Listing:
    """What there is in a folder."""

    photos: list[str] = field(default_factory=list)
    """Photos, in the order of their paths."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Files and folders that may hold pictures and are left out, and why: videos, raw photos, what cannot be read."""
    others: int = 0
    """Files that are no photos."""

    def sort_in(self, path: str, kind: str | None) -> None:
        """Puts a file where it belongs."""
        if kind is None:
            self.others += 1
        elif kind != PHOTO:
            self.leave_out(path, f"it is {kind}, which is not read")
        elif _shown(path) != path:
            self.leave_out(path, "its path is no UTF-8, and tables hold nothing else; rename it")
        else:
            self.photos.append(path)

    def leave_out(self, path: str, why: str) -> None:
        """Says that a file or folder is left out."""
        self.left_out[_shown(path)] = why


def _shown(path: str) -> str:
    """A path as it can be written. Names of files need be no text."""
    return path.encode("utf-8", "backslashreplace").decode()


def list_photos(folder: str | os.PathLike[str]) -> list[str]:
    """The photos in a folder and all folders below it as absolute paths, in order; below an address with its protocol.

    A warning names how many files with pictures are left out; `find_photos` names each.

    Raises:
        NotADirectoryError: for what is no folder.
        ReadError: for an address that cannot be listed.
    """
    found = find_photos(folder)
    if found.left_out:
        path, why = next(iter(found.left_out.items()))
        warnings.warn(f"{len(found.left_out)} files are left out, such as {path}: {why}", stacklevel=2)
    return found.photos


def find_photos(folder: str | os.PathLike[str], *, output: str | os.PathLike[str] | None = None) -> Listing:
    """The photos in a folder and all folders below it, and what is left out.

    What a file is, its content says, as for clothseg-run; in an object store its suffix does, and only files without one are looked into.
    Hidden files and those of systems are no photos, and nothing below `output` is.

    Raises:
        NotADirectoryError: for what is no folder.
        ReadError: for an address that cannot be listed.
    """
    path, results = _storage.absolute(folder), None if output is None else _storage.absolute(output)
    found = Listing()
    if _storage.is_address(path):
        _find_in_store(found, path, results)
    else:
        _find_on_disk(found, path, results)
    found.photos.sort()
    return found


def _find_on_disk(found: Listing, folder: str, output: str | None) -> None:
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder} is no folder")
    results = None if output is None else os.path.realpath(output)
    # Each with the real paths of the folders that lead to it, so that a link back up is seen.
    folders: list[tuple[str, tuple[str, ...]]] = [(folder, (os.path.realpath(folder),))]
    while folders:
        here, above = folders.pop()
        for entry in _entries(found, here):
            if is_of_system(entry.name):
                continue
            try:
                if entry.is_dir():
                    real = os.path.realpath(entry.path)
                    if real != results and real not in above:
                        folders.append((entry.path, (*above, real)))
                else:
                    _sort_in_file(found, entry)
            except OSError as error:
                found.leave_out(entry.path, f"it cannot be read: {error.strerror}")


def _entries(found: Listing, folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        found.leave_out(folder, f"it cannot be read: {error.strerror}")


def _sort_in_file(found: Listing, entry: os.DirEntry[str]) -> None:
    if not entry.is_file():
        # A pipe or device would be waited for for ever.
        if entry.is_symlink() and has_photo_suffix(entry.name):
            found.leave_out(entry.path, "it is a link that leads nowhere")
        else:
            found.others += not entry.is_symlink()
        return
    if has_photo_suffix(entry.name):
        found.sort_in(entry.path, PHOTO)
        return
    try:
        with open(entry.path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        if suffix_of(entry.name) and kind_of(entry.name, b"") is None:
            # Nothing says that it is a photo.
            found.others += 1
            return
        raise
    found.sort_in(entry.path, kind_of(entry.name, head))


def _find_in_store(found: Listing, address: str, output: str | None) -> None:
    files, root = _storage.files_at(address)
    results = None if output is None else output.rstrip("/") + "/"
    nameless = []
    try:
        names = files.find(root)
    except Exception as error:
        # Each store has errors of its own.
        raise ReadError(0, f"it cannot be listed: {type(error).__name__}: {error}", address) from error
    for name in names:
        below = name[len(root.rstrip("/")) :].removeprefix("/")
        if not below:
            raise NotADirectoryError(f"{address} is no folder")
        # As the folder is written, so that a photo's place in it can be told.
        path, parts = (address if address.endswith("://") else address.rstrip("/") + "/") + below, below.split("/")
        # A name that ends with a slash marks a folder.
        if (results and path.startswith(results)) or any(is_of_system(part) for part in parts) or not parts[-1]:
            continue
        if suffix_of(parts[-1]):
            found.sort_in(path, kind_by_name(parts[-1]))
        else:
            nameless.append((name, path))
    _look_into(found, files, nameless)


def _look_into(found: Listing, files: Any, nameless: list[tuple[str, str]]) -> None:
    """Sorts in what has no suffix. Some at a time, because each is a request, and not all at once, because each needs memory."""
    with ThreadPoolExecutor(LOOKS) as pool:
        for start in range(0, len(nameless), 32 * LOOKS):
            some = nameless[start : start + 32 * LOOKS]
            for (name, path), head in zip(some, pool.map(lambda one: _head(files, one[0]), some), strict=True):
                if isinstance(head, bytes):
                    found.sort_in(path, kind_of(name, head))
                else:
                    found.leave_out(path, f"it cannot be read: {type(head).__name__}: {head}")


def _head(files: Any, name: str) -> bytes | Exception:
    """The first bytes of a file in a store."""
    try:
        head: bytes = files.cat_file(name, start=0, end=HEAD_BYTES)
        return head
    except Exception as error:  # noqa: BLE001 - each store has errors of its own
        try:
            # Of a file of no bytes some stores give no part, such as of the marker _SUCCESS.
            return b"" if files.size(name) == 0 else error
        except Exception:  # noqa: BLE001
            return error
