"""The examples of the documents run, in their order."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = ["docs/python.md", "runtime/python/README.md"]


def blocks(document: Path) -> Iterator[tuple[int, str]]:
    """Line number and code of each block of Python that is to be run."""
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start()) + 2, match.group(1)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_examples_run(name: str, pixels: np.ndarray, hopper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = ROOT / name
    if not document.exists():
        pytest.skip("there are no documents beside the tests")
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(pixels).save("photo.jpg", quality=95)
    Path("photos").mkdir()
    for number in range(3):
        shutil.copy(hopper, f"photos/{number}.jpg")
    Path("photos/damaged.jpg").write_bytes(b"no photo")
    namespace: dict[str, object] = {"__name__": "example"}
    found = list(blocks(document))
    assert found, "there are examples"
    for line, code in found:
        # The line numbers of an error are those of the document.
        exec(compile("\n" * (line - 1) + code, str(document), "exec"), namespace)
