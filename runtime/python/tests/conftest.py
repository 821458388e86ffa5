"""What the tests share: an open model, and photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import clothseg

SAMPLES = Path(os.environ.get("CLOTHSEG_SAMPLES", Path(__file__).parents[3] / "samples"))


@pytest.fixture(scope="session")
def segment() -> clothseg.Segmenter:
    return clothseg.Segmenter()


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """A PNG of 512 x 512 with a garment in it."""
    return SAMPLES / "astronaut.png"


@pytest.fixture(scope="session")
def hopper() -> Path:
    """A small JPEG."""
    return SAMPLES / "hopper.jpg"


@pytest.fixture(scope="session")
def pixels(astronaut: Path) -> np.ndarray:
    import PIL.Image

    return np.asarray(PIL.Image.open(astronaut).convert("RGB"))


@pytest.fixture(scope="session")
def result(segment: clothseg.Segmenter, astronaut: Path) -> clothseg.Result:
    result = segment(astronaut)
    assert len(result) > 0, "there are garments in the photo, or the tests test nothing"
    return result
