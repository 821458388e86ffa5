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


def test_the_arguments_of_rembg_are_taken(segment: clothseg.Segmenter, result: clothseg.Result, pixels: np.ndarray) -> None:
    smooth = np.asarray(result.cutout())
    # In the order of rembg's function.
    np.testing.assert_array_equal(clothseg.remove(pixels, False, 240, 10, 10, segment, False, False, None, False), smooth)
    hard = clothseg.remove(pixels, session=segment, post_process_mask=True)
    np.testing.assert_array_equal(hard, np.asarray(result.cutout(alpha="hard")))
    only = clothseg.remove(pixels, session=segment, post_process_mask=True, only_mask=True, alpha_matting=True, bgcolor=(1, 2, 3, 4))
    np.testing.assert_array_equal(only == 255, result.mask("garment"))
    assert set(np.unique(only)) == {0, 255} and only.ndim == 2


def test_alpha_matting_is_the_soft_mask_between_the_thresholds(
    segment: clothseg.Segmenter, result: clothseg.Result, pixels: np.ndarray
) -> None:
    soft = np.asarray(result.cutout(alpha="soft"))
    as_it_is = clothseg.remove(
        pixels,
        session=segment,
        alpha_matting=True,
        alpha_matting_foreground_threshold=255,
        alpha_matting_background_threshold=0,
        alpha_matting_erode_size=3,
    )
    np.testing.assert_array_equal(as_it_is, soft)
    alpha = soft[:, :, 3]
    matted = clothseg.remove(pixels, session=segment, alpha_matting=True)
    expected = np.where(alpha > 240, 255, np.where(alpha < 10, 0, alpha))
    np.testing.assert_array_equal(matted[:, :, 3], expected)
    assert ((0 < alpha) & (alpha < 10)).any() and not matted[matted[:, :, 3] == 0].any(), "nothing of the background is left"


def test_a_colour_lies_behind_the_garments(segment: clothseg.Segmenter, result: clothseg.Result, pixels: np.ndarray) -> None:
    cut = result.cutout()
    expected = np.asarray(PIL.Image.alpha_composite(PIL.Image.new("RGBA", cut.size, (10, 20, 30, 255)), cut))
    for data in (pixels, PIL.Image.fromarray(pixels)):
        got = clothseg.remove(data, session=segment, bgcolor=(10, 20, 30, 255))
        np.testing.assert_array_equal(np.asarray(got), expected)
    background = clothseg.remove(pixels, session=segment, bgcolor=[10, 20, 30, 128])[~result.mask("garment")]
    assert (background == (10, 20, 30, 128)).all(axis=1).mean() > 0.9
    for color in ((1, 2, 3), (1, 2, 3, 256), (-1, 2, 3, 4)):
        with pytest.raises(ValueError, match="bgcolor"):
            clothseg.remove(pixels, session=segment, bgcolor=color)


def test_bytes_come_back_where_they_are_asked_for(segment: clothseg.Segmenter, pixels: np.ndarray, astronaut: Path) -> None:
    for data in (pixels, PIL.Image.fromarray(pixels), astronaut, astronaut.read_bytes()):
        png = clothseg.remove(data, session=segment, force_return_bytes=True)
        assert isinstance(png, bytes) and PIL.Image.open(io.BytesIO(png)).mode == "RGBA"


def test_a_session_of_another_package_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(TypeError, match="clothseg.Segmenter is needed"):
        clothseg.remove(pixels, session=object())  # type: ignore[call-overload]


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
