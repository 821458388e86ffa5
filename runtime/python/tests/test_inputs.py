"""Everything that an image may be given as."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clothseg


def encoded(image: PIL.Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_a_path_a_text_and_every_kind_of_bytes_agree_to_the_pixel(
    segment: clothseg.Segmenter, hopper: Path
) -> None:
    content = hopper.read_bytes()
    expected = segment(hopper).labels
    for image in (str(hopper), content, bytearray(content), memoryview(content), memoryview(content)[:]):
        np.testing.assert_array_equal(segment(image).labels, expected)
    assert segment(hopper).path == hopper and segment(content).path is None


def test_a_lossless_file_an_array_and_a_pil_image_agree_to_the_pixel(
    segment: clothseg.Segmenter, astronaut: Path, pixels: np.ndarray
) -> None:
    expected = segment(astronaut).labels
    assert expected.shape == pixels.shape[:2] and expected.any()
    for image in (pixels, PIL.Image.fromarray(pixels), PIL.Image.open(astronaut)):
        np.testing.assert_array_equal(segment(image).labels, expected)


def test_views_with_any_strides_are_read_as_they_look(segment: clothseg.Segmenter, pixels: np.ndarray) -> None:
    bgr = pixels[:, :, ::-1].copy()
    views = {
        "channels": (bgr[:, :, ::-1], pixels),
        "upside down": (pixels[::-1], np.ascontiguousarray(pixels[::-1])),
        "mirrored": (pixels[:, ::-1], np.ascontiguousarray(pixels[:, ::-1])),
        "every second": (pixels[::2, ::2], pixels[::2, ::2].copy()),
        "columns first": (np.asfortranarray(pixels), pixels),
        "transposed": (pixels.transpose(1, 0, 2), pixels.transpose(1, 0, 2).copy()),
    }
    for name, (view, plain) in views.items():
        np.testing.assert_array_equal(segment(view).labels, segment(plain).labels, err_msg=name)


def test_an_array_that_cannot_be_written_to_is_read(segment: clothseg.Segmenter, pixels: np.ndarray) -> None:
    locked = pixels.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(segment(locked).labels, segment(pixels).labels)


def test_grey_is_three_times_the_same_and_transparency_lies_over_white(
    segment: clothseg.Segmenter, pixels: np.ndarray
) -> None:
    grey = pixels[:, :, 1]
    np.testing.assert_array_equal(segment(grey).labels, segment(np.dstack([grey] * 3)).labels)
    alpha = np.zeros(grey.shape, np.uint8)
    alpha[:, :256] = 255
    white = pixels.copy()
    white[:, 256:] = 255
    rgba = np.dstack([pixels, alpha])
    expected = segment(white).labels
    np.testing.assert_array_equal(segment(rgba).labels, expected)
    np.testing.assert_array_equal(segment(PIL.Image.fromarray(rgba)).labels, expected)
    np.testing.assert_array_equal(segment(encoded(PIL.Image.fromarray(rgba))).labels, expected)


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((8, 8, 3), np.float32), TypeError),
        (np.zeros((8, 8, 3), np.uint16), TypeError),
        (np.zeros((8, 8, 3), bool), TypeError),
        (np.zeros((8, 8, 3), object), TypeError),
        (np.zeros((8, 8, 2), np.uint8), ValueError),
        (np.zeros((3, 8, 8), np.uint8), ValueError),
        (np.zeros((1, 8, 8, 3), np.uint8), ValueError),
        (np.zeros(8, np.uint8), ValueError),
        (np.zeros((0, 8, 3), np.uint8), clothseg.DecodeError),
        (np.zeros((8, 0, 3), np.uint8), clothseg.DecodeError),
    ],
)
def test_arrays_that_are_no_photo_are_refused(
    segment: clothseg.Segmenter, array: np.ndarray, error: type[Exception]
) -> None:
    with pytest.raises(error):
        segment(array)


def test_what_is_no_image_is_refused_by_its_type(segment: clothseg.Segmenter) -> None:
    for thing in (None, 3, 2.5, object(), [1, 2], {"a": 1}, io.BytesIO(b"x"), b"photo.jpg".__class__):
        with pytest.raises(TypeError, match="needed"):
            segment(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_of_pil_is_read(segment: clothseg.Segmenter, pixels: np.ndarray, mode: str) -> None:
    image = PIL.Image.fromarray(pixels)
    if mode == "LAB":
        from PIL import ImageCms

        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        converted = ImageCms.applyTransform(image, to_lab)
        assert converted is not None
    else:
        converted = image.convert(mode)
    result = segment(converted)
    assert (result.width, result.height) == (512, 512)
    if mode in ("RGB", "RGBA", "YCbCr"):
        assert (result.labels == segment(pixels).labels).mean() > 0.97


def test_sixteen_bits_keep_their_range(segment: clothseg.Segmenter, pixels: np.ndarray) -> None:
    grey = pixels[:, :, 1]
    wide = grey.astype(np.uint16) * 257
    expected = segment(grey).labels
    for image in (PIL.Image.fromarray(wide), PIL.Image.fromarray(wide.astype(np.int32))):
        assert image.mode.startswith("I")
        np.testing.assert_array_equal(segment(image).labels, expected)
    with pytest.raises(TypeError, match="mode F"):
        segment(PIL.Image.fromarray(grey.astype(np.float32)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied_to_files_and_to_pil_images(
    segment: clothseg.Segmenter, pixels: np.ndarray, orientation: int
) -> None:
    image = PIL.Image.fromarray(pixels[:, :400])
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, "PNG", exif=exif)
    of_file, of_pil = segment(content), segment(PIL.Image.open(io.BytesIO(content)))
    assert (of_file.width, of_file.height) == ((400, 512) if orientation < 5 else (512, 400))
    np.testing.assert_array_equal(of_pil.labels, of_file.labels)


def test_damaged_and_missing_files_name_what_is_wrong(segment: clothseg.Segmenter, hopper: Path, tmp_path: Path) -> None:
    with pytest.raises(clothseg.DecodeError, match="it is text"):
        segment(b"no photo")
    with pytest.raises(clothseg.DecodeError, match="empty"):
        segment(b"")
    with pytest.raises(ValueError):
        segment(hopper.read_bytes()[:1000])
    missing = tmp_path / "absent.jpg"
    with pytest.raises(clothseg.ReadError) as caught:
        segment(missing)
    assert caught.value.filename == str(missing) and caught.value.errno == 2 and "absent.jpg" in str(caught.value)
    with pytest.raises(OSError):
        segment(tmp_path)
    with pytest.raises(clothseg.ReadError, match="nothing is fetched"):
        segment("https://example.com/photo.jpg")
    cut_off = PIL.Image.open(io.BytesIO(hopper.read_bytes()[:1000]))
    with pytest.raises(clothseg.DecodeError):
        segment(cut_off)


def test_a_photo_over_the_limit_is_refused_before_it_is_decoded() -> None:
    small = clothseg.Segmenter(max_megapixels=1)
    with pytest.raises(clothseg.TooLargeError, match="max_megapixels"):
        small(encoded(PIL.Image.new("RGB", (1001, 1000))))
