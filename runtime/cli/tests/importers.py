"""Imports COCO files of clothseg-run with the importers of annotation tools: see ci/importers.

Names a folder with the photos in `in` and the results of each form of segmentations in a folder of its name.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import datumaro
import fiftyone.utils.coco as fiftyone_coco
from label_studio_sdk.converter.imports import coco as label_studio_coco

FORMS = ["polygons", "rings", "rle", "counts"]


def datumaro_reads(path, photos, coco):
    """CVAT imports COCO through Datumaro: photos are matched by their names."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "annotations").mkdir()
    shutil.copy(path, folder / "annotations/instances_default.json")
    shutil.copytree(photos, folder / "images/default")
    items = list(datumaro.Dataset.import_from(str(folder), "coco"))
    names = {str(pathlib.PurePath(image["file_name"]).with_suffix("")) for image in coco["images"]}
    assert {item.id for item in items} == names, [item.id for item in items]
    assert all(item.media.data is not None for item in items)
    # A class is one group, of one piece or of several.
    groups = {(item.id, each.group) for item in items for each in item.annotations}
    assert len(groups) == len(coco["annotations"]), (len(groups), len(coco["annotations"]))
    return sum(len(item.annotations) for item in items)


def fiftyone_reads(path, photos, coco):
    _, classes, _, images, annotations = fiftyone_coco.load_coco_detection_annotations(str(path), extra_attrs=True)
    assert all((photos / image["file_name"]).is_file() for image in images.values())
    classes = classes if isinstance(classes, dict) else dict(enumerate(classes))
    found = 0
    for image, objects in annotations.items():
        size = images[image]["width"], images[image]["height"]
        for each in objects:
            detection = each.to_detection(size, classes, load_segmentation=True)
            assert detection.mask is not None and detection.mask.any(), each
            found += 1
    assert found == len(coco["annotations"])
    return found


def label_studio_reads(path, photos, coco):
    """Its importer knows polygons only."""
    tasks = pathlib.Path(tempfile.mkdtemp()) / "tasks.json"
    label_studio_coco.convert_coco_to_ls(str(path), str(tasks), image_root_url="/data/local-files/?d=photos", use_super_categories=False)
    tasks = json.loads(tasks.read_text())
    for task, image in zip(tasks, coco["images"], strict=True):
        assert task["data"]["image"].endswith("/" + image["file_name"]), task["data"]
    pieces = sum(len(each["segmentation"]) for each in coco["annotations"])
    results = [each for task in tasks for annotation in task["annotations"] for each in annotation["result"]]
    assert sum(each["type"].lower() == "polygonlabels" for each in results) == pieces
    return len(results)


root = pathlib.Path(sys.argv[1])
for form in FORMS:
    path = root / form / "coco.json"
    coco = json.loads(path.read_text())
    print(f"{form}: {len(coco['images'])} photos, {len(coco['annotations'])} annotations")
    print(f"  Datumaro (CVAT): {datumaro_reads(path, root / 'in', coco)} annotations")
    print(f"  FiftyOne: {fiftyone_reads(path, root / 'in', coco)} detections with masks")
    if form == "rings":
        print(f"  Label Studio: {label_studio_reads(path, root / 'in', coco)} results")
