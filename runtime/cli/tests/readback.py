"""Reads what clothseg-run wrote with the tools that it is for, and compares all of it with the masks.

    readback.py FOLDER:TOLERANCE ...

Each FOLDER is an output folder of `clothseg-run --format masks,labels,... --min-area 0 --tolerance TOLERANCE`. What is there
is read: masks and labels by Pillow, coco.json by pycocotools, NAME.labelme.json by labelme, NAME.svg by resvg, NAME.txt of
YOLO as Ultralytics reads it, drawn by resvg. With
TOLERANCE 0 everything has to be the mask to the pixel; else nothing may differ beyond TOLERANCE pixels from its outline.

`ci/readback` installs the tools and runs this through `cargo test --test readback`.
"""

import contextlib
import io
import json
import math
import pathlib
import re
import sys
from xml.etree import ElementTree

import numpy as np
import resvg_py
import yaml
from labelme._label_file import LabelFile
from labelme.utils import shapes_to_label
from loguru import logger
from PIL import Image, ImageFilter
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO


def file_name(category):
    """The name of a class in file names: as `class_file_names` in export/names.rs makes it."""
    return re.sub(r"[^0-9a-z]", "-", category.split(",")[0].strip().lower())


def read_mask(path):
    image = Image.open(path)
    assert image.mode in ("1", "L"), f"{path}: mode {image.mode}"
    pixels = np.asarray(image.convert("L"))
    assert set(np.unique(pixels)) <= {0, 255}, path
    return pixels == 255


def same(found, mask, tolerance, what):
    """Asserts that two masks are equal, or differ only near the outline of the second."""
    assert found.shape == mask.shape, f"{what}: {found.shape} for {mask.shape}"
    if tolerance == 0:
        assert np.array_equal(found, mask), f"{what}: {np.sum(found != mask)} pixels differ"
        return
    # A pixel belongs to an outline by its centre: half a pixel diagonal more than the tolerance.
    size = 2 * math.ceil(tolerance + 0.71) + 1
    padded = Image.fromarray(np.pad(mask, size, mode="edge").astype(np.uint8) * 255)
    inner, outer = (
        np.asarray(padded.filter(kind(size)))[size:-size, size:-size] == 255
        for kind in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    outside = np.sum(found & ~outer) + np.sum(inner & ~found)
    assert outside == 0, f"{what}: {outside} pixels are more than {tolerance} from the outline"


def check_pngs(stem, masks, labels_path, indices):
    """Labels with their palette, soft masks, cut-outs and crops."""
    checked = 0
    if labels_path.exists():
        labels = Image.open(labels_path)
        assert labels.mode == "P", f"{labels_path}: mode {labels.mode}"
        stored = np.asarray(labels)
        for name, mask in masks.items():
            assert np.array_equal(stored == indices[name], mask), f"{labels_path}: {name}"
        checked += 1
    photo = None
    facts = stem.with_name(stem.name + ".json")
    if facts.exists():
        photo = np.asarray(Image.open(path := json.loads(facts.read_text())["photo"]).convert("RGB")).astype(int)
        # Two JPEG decoders differ a little in how they round and enlarge colours.
        allowed = 0 if path.endswith(".png") else 1
    for name, mask in masks.items():
        soft_path, cutout_path, crop_path = (stem.with_name(f"{stem.name}.{name}.{kind}.png") for kind in
                                             ("soft", "cutout", "crop"))
        if not cutout_path.exists():
            continue
        cutout = Image.open(cutout_path)
        assert cutout.mode == "RGBA", f"{cutout_path}: mode {cutout.mode}"
        pixels = np.asarray(cutout)
        if soft_path.exists():
            soft = np.asarray(Image.open(soft_path))
            assert soft.dtype == np.uint8 and soft.shape == mask.shape, soft_path
            # Where a class has more than half it is the largest.
            assert not np.any((soft > 128) & ~mask), soft_path
            padded = np.pad(mask * 255.0, 1, mode="edge")
            tall = padded[:-2] + 2 * padded[1:-1] + padded[2:]
            smooth = (tall[:, :-2] + 2 * tall[:, 1:-1] + tall[:, 2:]) / 16
            assert np.abs(pixels[..., 3] - smooth).max() <= 0.5, cutout_path
        else:
            assert np.array_equal(pixels[..., 3] == 255, mask), cutout_path
        shown = pixels[..., 3] > 0
        assert not pixels[..., :3][~shown].any(), f"{cutout_path}: there is something under alpha 0"
        if photo is not None:
            assert np.abs(pixels[..., :3][shown] - photo[shown]).mean() <= allowed, cutout_path
        if crop_path.exists():
            crop = np.asarray(Image.open(crop_path))
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            places = [
                (y, x)
                for y in range(max(0, rows[-1] + 1 - crop.shape[0]), rows[0] + 1)
                for x in range(max(0, columns[-1] + 1 - crop.shape[1]), columns[0] + 1)
                if np.array_equal(crop, pixels[y : y + crop.shape[0], x : x + crop.shape[1]])
            ]
            assert places, f"{crop_path} is no part of the cut-out that holds the mask"
        checked += 1
    return checked


def check_coco(path, masks_of, tolerance):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    forms = set()
    for annotation in coco.loadAnns(coco.getAnnIds()):
        image = coco.loadImgs(annotation["image_id"])[0]
        (category,) = coco.loadCats(annotation["category_id"])
        mask = masks_of(image["file_name"])[file_name(category["name"])]
        is_polygon = isinstance(annotation["segmentation"], list)
        forms.add("polygons" if is_polygon else type(annotation["segmentation"]["counts"]).__name__)
        what = f"{path}: {image['file_name']}, {category['name']}"
        assert (image["height"], image["width"]) == mask.shape, what
        same(coco.annToMask(annotation).astype(bool), mask, tolerance if is_polygon else 0, what)
        assert annotation["area"] == mask.sum(), what
        exact = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert annotation["bbox"] == coco_mask.toBbox(exact).tolist(), what
        if not is_polygon and isinstance(annotation["segmentation"]["counts"], str):
            assert annotation["segmentation"]["counts"] == exact["counts"].decode(), what
        assert annotation["iscrowd"] == 0 and 0 <= annotation["score"] <= 1, what
    found = sum(len(masks_of(image["file_name"])) for image in coco.dataset["images"])
    assert found == len(coco.anns) > 0, f"{path}: {len(coco.anns)} annotations for {found} masks"
    return forms


def check_labelme(path, masks, tolerance):
    file = LabelFile(str(path))
    assert (path.parent / file.image_path).exists(), path
    shape = next(iter(masks.values())).shape
    for name, mask in masks.items():
        shapes = [dict(each) for each in file.shapes if file_name(each["label"]) == name]
        assert shapes and len({each["group_id"] for each in shapes}) == 1, f"{path}: {name}"
        classes, _ = shapes_to_label(shape, shapes, {each["label"]: 1 for each in shapes})
        # labelme draws the outline of a polygon too, a line through the pixels on both sides of it.
        same(classes == 1, mask, max(tolerance, 1), f"{path}: {name}")
    assert {file_name(each["label"]) for each in file.shapes} == set(masks), path
    return {each["shape_type"] for each in file.shapes}


def check_svg(path, masks, colors, tolerance):
    for name, mask in masks.items():
        # One class at a time: where two meet, edge pixels are blended to colours that mean nothing.
        svg = ElementTree.parse(path).getroot()
        for group in svg.findall("{*}g"):
            if group.get("class") != name:
                svg.remove(group)
        text = ElementTree.tostring(svg, encoding="unicode")
        image = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=text)))).convert("RGBA")
        pixels = np.asarray(image)
        # A pixel counts where the garment covers at least half of it.
        same(pixels[..., 3] >= 128, mask, tolerance, f"{path}: {name}")
        assert np.all(pixels[pixels[..., 3] == 255][:, :3] == colors[name]), f"{path}: colour of {name}"


def check_yolo(path, names, masks, tolerance):
    """As Ultralytics' `verify_image_label` reads a label: a class and at least three points per line, all within 0 and 1."""
    height, width = next(iter(masks.values())).shape
    paths = {name: [] for name in masks}
    for line in path.read_text().splitlines():
        values = np.array(line.split(), dtype=np.float32)
        assert len(values) >= 7 and len(values) % 2 == 1, f"{path}: {line}"
        assert values[0] == int(values[0]) and 0 <= values[0] < len(names), f"{path}: {line}"
        points = values[1:].reshape(-1, 2)
        assert points.min() >= 0 and points.max() <= 1, f"{path}: {line}"
        points = points * [width, height]
        paths[names[int(values[0])]].append("M" + "L".join(f"{x:.4f} {y:.4f}" for x, y in points) + "Z")
    for name, mask in masks.items():
        assert paths[name], f"{path}: no {name}"
        svg = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
               f'<path fill-rule="evenodd" d="{"".join(paths[name])}"/></svg>')
        image = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).convert("RGBA")
        # Shares of six decimals are off by thousandths of a pixel.
        same(np.asarray(image)[..., 3] >= 127, mask, tolerance, f"{path}: {name}")


def check_parse(stem, masks):
    """What a try-on pipeline does: opens the file by Pillow and asks for indices."""
    for kind, labels in (("atr", 18), ("lip", 20)):
        image = Image.open(stem.with_name(f"{stem.name}.{kind}.png"))
        assert image.mode == "P", f"{stem}: mode {image.mode}"
        stored = np.asarray(image)
        assert stored.max() < labels, f"{stem}: index {stored.max()} in {kind}"
        upper = {"atr": [4], "lip": [5, 7]}[kind]
        for name, indices in {"shirt": upper, "jacket": upper, "pants": [{"atr": 6, "lip": 9}[kind]]}.items():
            if name in masks:
                assert np.isin(stored[masks[name]], indices).all(), f"{stem}: {name} in {kind}"
        assert not stored[~np.any(list(masks.values()), axis=0)].any(), f"{stem}: background in {kind}"


def check_folder(folder, tolerance):
    coco = json.loads((folder / "coco.json").read_text())
    indices = {file_name(each["name"]): each["id"] for each in coco["categories"]}
    by_photo, seen = {}, {"coco": set(), "labelme": set(), "svg": 0, "png": 0, "yolo": 0, "parse": 0}
    for image in coco["images"]:
        (labels_path,) = folder.rglob(pathlib.PurePath(image["file_name"]).stem + ".labels.png")
        stem = labels_path.with_name(labels_path.name.removesuffix(".labels.png"))
        paths = {name: stem.with_name(f"{stem.name}.{name}.png") for name in indices}
        masks = {name: read_mask(path) for name, path in paths.items() if path.exists()}
        by_photo[image["file_name"]] = masks
        seen["png"] += check_pngs(stem, masks, labels_path, indices)
        palette = np.reshape(Image.open(labels_path).getpalette(), (-1, 3))
        if (path := stem.with_name(stem.name + ".labelme.json")).exists():
            seen["labelme"] |= check_labelme(path, masks, tolerance)
        if (path := stem.with_name(stem.name + ".svg")).exists():
            check_svg(path, masks, {name: palette[indices[name]] for name in masks}, tolerance)
            seen["svg"] += 1
        if (path := stem.with_name(stem.name + ".txt")).exists():
            data = yaml.safe_load((folder / "data.yaml").read_text())
            classes = (folder / "classes.txt").read_text().splitlines()
            assert data["names"] == dict(enumerate(classes)), f"{folder}: names"
            check_yolo(path, [file_name(name) for name in classes], masks, tolerance)
            seen["yolo"] += 1
        if stem.with_name(stem.name + ".atr.png").exists():
            check_parse(stem, masks)
            seen["parse"] += 1
    seen["coco"] = check_coco(folder / "coco.json", by_photo.__getitem__, tolerance)
    print(f"{folder.name}: {len(by_photo)} photos, {seen}")


if __name__ == "__main__":
    logger.disable("labelme")
    for argument in sys.argv[1:]:
        name, _, tolerance = argument.rpartition(":")
        check_folder(pathlib.Path(name), float(tolerance))
