"""`remove`: what comes back is of the kind that was given."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clothseg


def test_bytes_give_bytes_an_array_an_array_and_an_image_an_image(
    segment: clothseg.Segmenter, result: clothseg.Result, astronaut: Path, pixels: np.ndarray
) -> None:
    expected = np.asarray(result.cutout())
    content = clothseg.remove(astronaut.read_bytes(), session=segment)
    assert isinstance(content, bytes)
    array = clothseg.remove(pixels, session=segment)
    image = clothseg.remove(PIL.Image.fromarray(pixels), session=segment)
    of_path = clothseg.remove(astronaut, session=segment)
    for got in (PIL.Image.open(io.BytesIO(content)), array, image, of_path):
        np.testing.assert_array_equal(np.asarray(got), expected)


def test_only_the_mask_or_some_classes(result: clothseg.Result, pixels: np.ndarray) -> None:
    name = result[0].label
    mask = clothseg.remove(pixels, classes=[name], only_mask=True)
    assert mask.shape == pixels.shape[:2]
    # Smooth edges reach a pixel further, and leave of a single pixel a quarter.
    assert mask[result.mask(name)].min() > 0 and ((mask > 127) == result.mask(name)).mean() > 0.999
    with pytest.raises(TypeError, match="list of names"):
        clothseg.remove(pixels, classes="pants")
    with pytest.raises(clothseg.UnknownClassError):
        clothseg.remove(pixels, classes=["trowsers!"])
