"""What a type checker makes of programs with this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RIGHT = """
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
import PIL.Image

import clothseg

segment = clothseg.Segmenter(device=0)


def labels(paths: list[str]) -> list[NDArray[np.uint8]]:
    return [result.labels for result in segment.stream(paths)]


def regions(paths: list[str]) -> int:
    count = 0
    for one in segment.stream(paths, on_error="return"):
        if not isinstance(one, clothseg.ClothsegError):
            count += len(one.labels)
    return count


png: bytes = clothseg.remove(b"", bgcolor=(0, 0, 0, 255), post_process_mask=True)
array: NDArray[np.uint8] = clothseg.remove(np.zeros((8, 8, 3), np.uint8), session=segment, alpha_matting=True)
image: PIL.Image.Image = clothseg.remove("photo.jpg")
forced: bytes = clothseg.remove("photo.jpg", force_return_bytes=True)
"""

WRONG = """
import clothseg

segment = clothseg.Segmenter()
for result in segment.stream(["a.jpg"], on_error="return"):
    print(result.labels)
"""


def check(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(program)
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "program.py"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)


def test_results_of_a_stream_need_no_question_unless_errors_are_among_them(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    done = check(RIGHT, tmp_path)
    assert done.returncode == 0, done.stdout
    done = check(WRONG, tmp_path)
    assert done.returncode == 1 and 'has no attribute "labels"' in done.stdout, done.stdout
