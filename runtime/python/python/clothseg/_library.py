"""Where ONNX Runtime's library lies. It is never imported."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path


def find() -> str | None:
    """`ORT_DYLIB_PATH`, else the library of the package onnxruntime or onnxruntime-gpu; None where there is neither."""
    named = os.environ.get("ORT_DYLIB_PATH")
    if named:
        # Relative to the working folder where such a file is, else a name for the system's loader.
        return os.path.abspath(named) if os.path.exists(named) else named
    return in_wheel()


def in_wheel() -> str | None:
    """The newest library of the package onnxruntime, which onnxruntime-gpu fills as well."""
    try:
        package = importlib.util.find_spec("onnxruntime")
    except (ImportError, ValueError):
        return None
    folders = package.submodule_search_locations if package else None
    pattern = {"win32": r"onnxruntime\.dll", "darwin": r"libonnxruntime[.\d]*\.dylib"}.get(
        sys.platform, r"libonnxruntime\.so[.\d]*"
    )
    found: list[Path] = []
    for folder in folders or ():
        capi = Path(folder, "capi")
        if capi.is_dir():
            found.extend(path for path in capi.iterdir() if re.fullmatch(pattern, path.name))
    newest = max(found, key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)], default=None)
    return str(newest) if newest else None
