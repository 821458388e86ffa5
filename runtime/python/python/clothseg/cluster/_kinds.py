"""What a file holds, by its name and its first bytes: by the rules of clothseg-run, which the native part has."""

from __future__ import annotations

import os

from clothseg import _clothseg

#: Bytes of a file's beginning that tell what it is.
HEAD_BYTES = _clothseg.HEAD_BYTES

#: A photo in a format that is read. Other kinds are words for people, with their article.
PHOTO = _clothseg.PHOTO

#: Of series of pictures in formats that are read: the first picture is.
SERIES_SUFFIXES = frozenset(("avifs", "heics", "heifs"))


def is_of_system(name: str) -> bool:
    """Whether a file or folder is hidden or a system's own, such as `._a.jpg` of macOS, `Thumbs.db` and `@eaDir`."""
    return _clothseg.is_of_system(_as_text(name))


def suffix_of(name: str) -> str:
    """The suffix in lower case, without its dot; nothing where there is none."""
    return os.path.splitext(name)[1][1:].lower()


def has_photo_suffix(name: str) -> bool:
    """Whether a name is that of a photo."""
    return _clothseg.has_photo_suffix(_as_text(name))


def kind_by_name(name: str) -> str | None:
    """`PHOTO`, another kind of file with pictures in it, or None, where the content is not looked at."""
    return PHOTO if has_photo_suffix(name) or suffix_of(name) in SERIES_SUFFIXES else kind_of(name, b"")


def kind_of(name: str, head: bytes) -> str | None:
    """`PHOTO`, another kind of file with pictures in it, or None: by the first bytes and, where these do not tell, by the name."""
    return _clothseg.kind_of(_as_text(name), head)


def _as_text(name: str) -> str:
    """The name without what is no text: names of files need be none."""
    return name.encode("utf-8", "replace").decode()
