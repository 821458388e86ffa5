"""Each converter, read back by the library that it is for."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

import clothseg


def test_pillow_shows_the_labels_in_the_colours_of_the_classes(
    segment: clothseg.Segmenter, result: clothseg.Result, tmp_path: Path
) -> None:
    result.to_pil().save(tmp_path / "labels.png")
    image = PIL.Image.open(tmp_path / "labels.png")
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), result.labels)
    colors = np.array([one.color for one in segment.classes], np.uint8)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colors[result.labels])
    assert not result.labels.flags.writeable


@pytest.mark.parametrize("form", ["rle", "counts", "polygons"])
def test_pycocotools_reads_the_annotations(
    segment: clothseg.Segmenter, result: clothseg.Result, tmp_path: Path, form: str
) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    annotations = result.to_coco(image_id=7, first_id=3, form=form)  # type: ignore[arg-type]
    assert [one["id"] for one in annotations] == list(range(3, 3 + len(result)))
    document = {
        "images": [{"id": 7, "width": result.width, "height": result.height, "file_name": "astronaut.png"}],
        "categories": [{"id": one.index, "name": one.name} for one in segment.classes[1:]],
        "annotations": annotations,
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    read = coco.COCO(str(tmp_path / "coco.json"))
    loaded = read.loadAnns(read.getAnnIds(imgIds=7))
    assert len(loaded) == len(result)
    for region, annotation in zip(result, loaded, strict=True):
        mask = read.annToMask(annotation).astype(bool)
        expected = result.mask(region.label)
        assert read.loadCats(annotation["category_id"])[0]["name"] == region.label
        assert annotation["area"] == region.area and tuple(annotation["bbox"]) == region.bbox
        if form == "polygons" and region.share > 0.02:
            # A polygon may leave the mask by 0.75 pixels, which is much of a small piece.
            assert (mask & expected).sum() / (mask | expected).sum() > 0.9
        elif form == "polygons":
            assert (mask & expected).any()
        else:
            np.testing.assert_array_equal(mask, expected)


def test_nothing_found_is_no_annotation(segment: clothseg.Segmenter, astronaut: Path) -> None:
    nothing = segment(astronaut, classes=[])
    assert nothing.to_coco() == [] and nothing.to_yolo() == "" and nothing.to_labelme()["shapes"] == []


def test_a_format_without_background_is_refused_for_the_background_alone(
    segment: clothseg.Segmenter, astronaut: Path, tmp_path: Path
) -> None:
    background = segment(astronaut, classes=["background"])
    with pytest.raises(ValueError, match="the format 'yolo' has no background"):
        background.to_yolo()
    with pytest.raises(ValueError, match="the format 'yolo' has no background"):
        background.save(tmp_path, formats=["masks", "yolo"])
    assert list(tmp_path.iterdir()) == []


def test_labelme_has_the_form_that_its_loader_asks_for(result: clothseg.Result) -> None:
    document = result.to_labelme()
    # What labelme's LabelFile.load reads.
    assert set(document) >= {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
    assert document["imagePath"] == "astronaut.png"
    assert (document["imageWidth"], document["imageHeight"]) == (result.width, result.height)
    labels = np.zeros((result.height, result.width), np.uint8)
    indices = {one.label: one.class_id for one in result}
    for shape in document["shapes"]:
        assert set(shape) >= {"label", "points", "shape_type", "flags", "description", "group_id", "mask"}
        points = shape["points"]
        if shape["shape_type"] == "mask":
            mask = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(shape["mask"])))).astype(bool)
            (x, y), _ = points
            area = labels[int(y) : int(y) + mask.shape[0], int(x) : int(x) + mask.shape[1]]
            area[mask] = indices[shape["label"]]
        else:
            assert shape["shape_type"] == "polygon" and len(points) > 2
            image = PIL.Image.new("1", (result.width, result.height))
            PIL.ImageDraw.Draw(image).polygon([(px - 0.5, py - 0.5) for px, py in points], fill=1)
            labels[np.asarray(image)] = indices[shape["label"]]
    assert (labels == result.labels).mean() > 0.98


def test_yolo_text_gives_the_masks_back(result: clothseg.Result) -> None:
    drawn = {one.class_id: PIL.Image.new("1", (result.width, result.height)) for one in result}
    for line in result.to_yolo().splitlines():
        index, *shares = line.split()
        points = np.array(shares, float).reshape(-1, 2)
        assert points.min() >= 0 and points.max() <= 1 and len(points) > 2
        corners = points * (result.width, result.height) - 0.5
        PIL.ImageDraw.Draw(drawn[int(index) + 1]).polygon([tuple(one) for one in corners.tolist()], fill=1)
    largest = max(result, key=lambda one: one.area)
    mask, expected = np.asarray(drawn[largest.class_id]), result.mask(largest.label)
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9


def test_supervision_reads_filters_and_draws_the_detections(result: clothseg.Result, pixels: np.ndarray) -> None:
    sv = pytest.importorskip("supervision")
    detections = result.to_supervision()
    assert len(detections) == len(result)
    np.testing.assert_array_equal(detections.area, [one.area for one in result])
    np.testing.assert_array_equal(detections.mask, result.masks())
    # Its own boxes of the same masks.
    np.testing.assert_array_equal(detections.xyxy, sv.mask_to_xyxy(result.masks()))
    assert list(detections["class_name"]) == [one.label for one in result]
    some = detections[detections.class_id == result[0].class_id]
    assert len(some) == 1 and some.confidence[0] == pytest.approx(result[0].score)
    drawn = sv.MaskAnnotator().annotate(pixels.copy(), detections)
    changed = (drawn != pixels).any(axis=2)
    assert changed[result.mask("garment")].mean() > 0.9 and not changed[~result.mask("garment")].any()


def test_supervision_takes_a_result_with_nothing_in_it(segment: clothseg.Segmenter, astronaut: Path) -> None:
    pytest.importorskip("supervision")
    detections = segment(astronaut, classes=[]).to_supervision()
    assert len(detections) == 0


def test_fiftyone_gives_the_masks_back(result: clothseg.Result) -> None:
    fo = pytest.importorskip("fiftyone")
    detections = result.to_fiftyone().detections
    assert [one.label for one in detections] == [one.label for one in result]
    for region, detection in zip(result, detections, strict=True):
        segmentation = detection.to_segmentation(frame_size=(result.width, result.height), target=255)
        np.testing.assert_array_equal(segmentation.mask == 255, result.mask(region.label))
    assert fo.Segmentation(mask=result.labels).mask.shape == result.labels.shape


def test_svg_is_xml_with_a_path_a_piece(result: clothseg.Result) -> None:
    import xml.etree.ElementTree as ElementTree

    root = ElementTree.fromstring(result.to_svg())
    assert root.attrib["viewBox"] == f"0 0 {result.width} {result.height}"
    assert len(root.findall(".//{*}path")) == sum(len(result.polygons(one.label)) for one in result)
