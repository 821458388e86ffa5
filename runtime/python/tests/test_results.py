"""What a result says, and that it costs what it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import PIL.Image
import pytest

import clothseg
from clothseg._result import Format


def test_regions_agree_with_the_labels(result: clothseg.Result) -> None:
    assert {one.class_id for one in result} == set(np.unique(result.labels)) - {0}
    for region in result:
        where = result.labels == region.class_id
        assert region.area == where.sum() and region.share == pytest.approx(where.mean())
        rows, columns = np.nonzero(where)
        x, y, width, height = region.bbox
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
        assert 0 < region.score <= 1 and result.names[region.class_id] == region.label
    assert result[0] in result and result[:1] == (result[0],) and list(result)[-1] == result[-1]
    assert set(result.timings) == {"decode", "preprocess", "inference", "postprocess"}
    assert all(milliseconds > 0 for milliseconds in result.timings.values())


def test_labels_are_read_only_and_share_their_memory(result: clothseg.Result) -> None:
    first, second = result.labels, result.labels
    assert np.shares_memory(first, second) and not first.flags.writeable
    with pytest.raises(ValueError):
        first[0, 0] = 1
    with pytest.raises(ValueError):
        first.flags.writeable = True


def test_steps_on_masks_are_those_of_the_program(segment: clothseg.Segmenter, astronaut: Path) -> None:
    every = clothseg.Segmenter(min_share=0)(astronaut)
    largest = clothseg.Segmenter(min_share=0, largest=True)(astronaut)
    grown = clothseg.Segmenter(min_share=0, grow="1%", fill_holes=True)(astronaut)
    some = clothseg.Segmenter(min_share=0.1)(astronaut)
    assert {one.label for one in some} == {one.label for one in every if one.share >= 0.1} != {one.label for one in every}
    areas = {one.label: one.area for one in every}
    assert all(one.area <= areas[one.label] for one in largest)
    assert any(one.area < areas[one.label] for one in largest)
    assert sum(one.area for one in grown) > sum(areas.values())
    left_out = next(one.label for one in every if one.share < 0.1)
    assert not some.mask(left_out, soft=True)[every.mask(left_out)].any()
    with pytest.raises(ValueError, match="0 to 1"):
        clothseg.Segmenter(min_share=2)
    with pytest.raises(ValueError):
        clothseg.Segmenter(grow="much")


def test_labels_outlive_their_result(segment: clothseg.Segmenter, astronaut: Path) -> None:
    labels = segment(astronaut).labels
    before = labels.copy()
    for _ in range(3):
        segment(astronaut)
    np.testing.assert_array_equal(labels, before)


def test_masks_follow_names_aliases_and_groups(segment: clothseg.Segmenter, result: clothseg.Result) -> None:
    for region, mask in zip(result, result.masks(), strict=True):
        np.testing.assert_array_equal(mask, result.labels == region.class_id)
        np.testing.assert_array_equal(result.mask(region.label.upper()), mask)
    garment = result.mask("garment")
    assert garment.dtype == bool and garment.shape == (result.height, result.width)
    np.testing.assert_array_equal(garment, result.labels > 0)
    assert result.masks(["garment", "pants"]).shape == (2, result.height, result.width)
    assert result.masks([]).shape == (0, result.height, result.width)
    assert "garment" in segment.groups


def test_a_soft_mask_is_sure_where_the_mask_is(result: clothseg.Result) -> None:
    largest = max(result, key=lambda one: one.area)
    soft, hard = result.mask(largest.label, soft=True), result.mask(largest.label)
    assert soft.dtype == np.uint8 and soft.shape == hard.shape
    assert soft[hard].mean() > 2 * soft[~hard].mean()


def test_only_the_classes_asked_for_are_given(segment: clothseg.Segmenter, result: clothseg.Result, astronaut: Path) -> None:
    kept = result[0]
    only = segment(astronaut, classes=[kept.label])
    assert [one.class_id for one in only] == [kept.class_id]
    np.testing.assert_array_equal(only.labels, np.where(result.labels == kept.class_id, kept.class_id, 0))
    assert np.shares_memory(only.labels, only.labels)
    assert len(segment(astronaut, classes=[])) == 0 and not segment(astronaut, classes=[]).labels.any()


def test_polygons_fill_the_mask(result: clothseg.Result) -> None:
    import PIL.ImageDraw

    largest = max(result, key=lambda one: one.area)
    image = PIL.Image.new("1", (result.width, result.height))
    draw = PIL.ImageDraw.Draw(image)
    for polygon in result.polygons(largest.label, tolerance=0.0):
        assert polygon.exterior.dtype == np.float32 and polygon.exterior.shape[1] == 2
        draw.polygon([(x - 0.5, y - 0.5) for x, y in polygon.exterior], fill=1)
        for hole in polygon.holes:
            draw.polygon([(x - 0.5, y - 0.5) for x, y in hole], fill=0)
    filled, mask = np.asarray(image), result.mask(largest.label)
    assert (filled & mask).sum() / (filled | mask).sum() > 0.97
    assert len(result.polygons(largest.label, smooth=True)) > 0
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="tolerance"):
            result.polygons(largest.label, tolerance=bad)


def test_a_cut_out_has_the_photo_under_its_alpha_and_nothing_elsewhere(
    result: clothseg.Result, pixels: np.ndarray
) -> None:
    cut = np.asarray(result.cutout(alpha="hard"))
    mask = result.mask("garment")
    np.testing.assert_array_equal(cut[mask], np.dstack([pixels, np.full(mask.shape, 255, np.uint8)])[mask])
    assert not cut[~mask].any()
    assert 0 < (np.asarray(result.cutout())[:, :, 3] % 255 != 0).mean() < 0.1, "a rim is half transparent"
    assert np.asarray(result.cutout(alpha="soft")).shape == cut.shape


def test_a_crop_is_the_box_and_its_margin(result: clothseg.Result) -> None:
    region = result[0]
    x, y, width, height = region.bbox
    crop = result.cutout(region.label, crop=True, margin="0", alpha="hard")
    assert crop.size == (width, height)
    whole = result.cutout(region.label, alpha="hard")
    np.testing.assert_array_equal(np.asarray(crop), np.asarray(whole)[y : y + height, x : x + width])
    absent = next(name for name in result.names.values() if name not in {one.label for one in result} | {"background"})
    assert result.cutout(absent, crop=True).size == (1, 1)
    assert not np.asarray(result.cutout(absent)).any()


def test_the_overlay_leaves_the_background_alone(result: clothseg.Result, pixels: np.ndarray) -> None:
    overlay, mask = np.asarray(result.overlay()), result.mask("garment")
    np.testing.assert_array_equal(overlay[~mask], pixels[~mask])
    assert (overlay[mask] != pixels[mask]).any(axis=1).mean() > 0.9


def test_a_cut_out_of_a_large_jpeg_has_all_its_pixels(segment: clothseg.Segmenter, pixels: np.ndarray) -> None:
    import io

    large = PIL.Image.fromarray(pixels).resize((2048, 2048))
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=90)
    result = segment(buffer.getvalue())
    assert (result.width, result.height) == (2048, 2048) and result.cutout().size == (2048, 2048)
    assert result.overlay().size == (2048, 2048)


def test_an_icc_profile_stays_with_a_cut_out(segment: clothseg.Segmenter, pixels: np.ndarray) -> None:
    import io

    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG", icc_profile=profile)
    assert segment(buffer.getvalue()).cutout().info["icc_profile"] == profile


def test_files_are_those_that_were_asked_for(result: clothseg.Result, tmp_path: Path) -> None:
    largest = max(result, key=lambda one: one.area)
    paths = result.save(tmp_path / "new", formats=["masks", "labels", "json", "svg", "cutout", "yolo", "labelme", "overlay"])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    names = {path.name.partition(".")[2]: path for path in paths}
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(names["labels.png"])), result.labels)
    document = json.loads(names["json"].read_text())
    assert document["photo"] == "astronaut.png" and document["width"] == result.width
    shares = {one["name"]: one["area_px"] for one in document["classes"]}
    assert shares[largest.label] == largest.area
    assert names["svg"].read_text() == result.to_svg() and names["txt"].read_text() == result.to_yolo()
    again = result.save(tmp_path / "named", formats=["labels"], name="other")
    assert [path.name for path in again] == ["other.labels.png"]


def test_files_that_make_no_sense_are_refused(result: clothseg.Result, segment: clothseg.Segmenter, astronaut: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'psd'") as unknown:
        result.save(tmp_path, formats=["psd"])  # type: ignore[list-item]
    # The names that type checkers know are those of the library; a file of a whole run is `to_coco`'s.
    known = str(unknown.value).split("there are: ")[1].split(", ")
    assert [name for name in known if name != "coco"] == list(get_args(Format))
    with pytest.raises(ValueError, match="to_coco"):
        result.save(tmp_path, formats=["coco"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="list of names"):
        result.save(tmp_path, formats="masks")  # type: ignore[arg-type]
    for name in ("../out", "a/b", "", ".."):
        with pytest.raises(ValueError, match="without folders"):
            result.save(tmp_path, name=name)
    photo = tmp_path / "a.labels.png"
    photo.write_bytes(astronaut.read_bytes())
    before = photo.read_bytes()
    with pytest.raises(ValueError, match="written over"):
        segment(photo).save(tmp_path, formats=["labels"], name="a")
    assert photo.read_bytes() == before
    with pytest.raises(clothseg.WriteError):
        result.save(photo, formats=["json"])


MEMORY = """
import io, resource, sys
import numpy as np
import clothseg

def resident_kib():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1])

segment = clothseg.Segmenter()
result = segment(sys.argv[1])
assert (result.height, result.width) == (3000, 4000)
# Hair and skin are left out once, which makes another map.
result.labels
before = resident_kib()
kept = [result.labels for _ in range(200)]
for labels in kept:
    assert labels.shape == (3000, 4000) and labels.dtype == np.uint8
    assert labels[1500, 2000] == kept[0][1500, 2000]
print(resident_kib() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_labels_of_twelve_megapixels_are_no_copy(pixels: np.ndarray, tmp_path: Path) -> None:
    import subprocess
    import sys

    photo = tmp_path / "large.jpg"
    PIL.Image.fromarray(pixels).resize((4000, 3000)).save(photo, quality=80)
    done = subprocess.run([sys.executable, "-c", MEMORY, photo], capture_output=True, text=True, check=True)
    # 200 copies would be 2 400 MB, and one is 12.
    assert int(done.stdout) < 6_000, done.stdout
